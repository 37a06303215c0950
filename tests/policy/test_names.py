"""Search domains and times to live."""

from __future__ import annotations

from typing import Optional

import pytest

from twisted_mesh.policy.names import ResolvConf, candidates, next_lookup, parse_resolv_conf


@pytest.mark.parametrize(
    ("host", "ndots", "expected"),
    [
        ("web", 1, ["web.one", "web.two", "web"]),
        ("web.ns", 1, ["web.ns", "web.ns.one", "web.ns.two"]),
        ("web.ns", 5, ["web.ns.one", "web.ns.two", "web.ns"]),
        ("web.example.", 5, ["web.example"]),
    ],
)
def test_search_domains(host: str, ndots: int, expected: list[str]) -> None:
    assert candidates(host, ["one", "two."], ndots) == expected


def test_without_search_domains_there_is_one_name() -> None:
    assert candidates("web", [], 1) == ["web"]
    assert candidates("web", ["."], 1) == ["web"]


@pytest.mark.parametrize(
    ("ttl", "refresh", "expected"),
    [(None, 30, 30), (10, 30, 10), (300, 30, 30), (0, 30, 1), (0.2, 0.5, 1)],
)
def test_when_to_look_again(ttl: Optional[float], refresh: float, expected: float) -> None:
    assert next_lookup(ttl, refresh) == expected


def test_resolv_conf_is_read_as_the_c_library_reads_it() -> None:
    text = """
        # made by something
        nameserver 10.0.0.1  ; the first
        nameserver fd00::1
        nameserver 10.0.0.3
        nameserver 10.0.0.4
        domain old.example
        search svc.local local
        options timeout:1 ndots:5 rotate
        nameserver
        garbage
    """
    assert parse_resolv_conf(text) == ResolvConf(
        (("10.0.0.1", 53), ("fd00::1", 53), ("10.0.0.3", 53)), ("svc.local", "local"), 5
    )
    assert parse_resolv_conf("options ndots:99") == ResolvConf(ndots=15)
    assert parse_resolv_conf("options ndots:x") == ResolvConf()
