"""Listeners: forms, defaults, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.listener import AccessLog, Bind, HttpOptions, Listener, TcpOptions
from twisted_mesh.model.route import Route
from twisted_mesh.model.units import Address

HERE = "127.0.0.1:80"


@pytest.mark.parametrize(
    ("written", "binds"),
    [
        (HERE, (Bind(address=Address("127.0.0.1", 80)),)),
        ({"address": "unix:/a", "mode": "0600"}, (Bind(address=Address("", 0, "/a"), mode="0600"),)),
        (
            [HERE, {"address": "[::]:0", "backlog": 5}],
            (Bind(address=Address("127.0.0.1", 80)), Bind(address=Address("::", 0), backlog=5)),
        ),
    ],
)
def test_a_bind_is_an_address_an_object_or_a_list(written: Any, binds: tuple[Bind, ...]) -> None:
    assert Listener.model_validate({"bind": written, "routes": []}).bind == binds


def test_routes_are_a_name_or_a_list() -> None:
    assert Listener.model_validate({"bind": HERE, "routes": "shop"}).routes == "shop"
    routes = Listener.model_validate({"bind": HERE, "routes": [{"to": "a"}]}).routes
    assert routes == (Route.model_validate({"to": "a"}),)


def test_an_access_log_of_its_own_may_be_off() -> None:
    base = {"bind": HERE, "routes": []}
    assert Listener.model_validate(base).access_log is None
    assert Listener.model_validate({**base, "access_log": "off"}).access_log == "off"
    own = Listener.model_validate({**base, "access_log": {"path": "a.log"}})
    assert own.access_log == AccessLog(path="a.log")
    assert Listener.model_validate(own.model_dump(mode="json")) == own


def test_which_calls_are_logged_depends_on_the_protocol() -> None:
    assert [AccessLog().slow_of(each) for each in ("http", "tcp", "redis")] == [None, None, 0.01]
    assert [AccessLog(calls="failed").slow_of(each) for each in ("http", "tcp", "redis")] == [1.0, 1.0, 0.01]
    assert [AccessLog(slow=0.5).slow_of(each) for each in ("http", "redis")] == [None, 0.5]
    assert AccessLog(calls="failed", slow=0.5).slow_of("http") == 0.5
    assert AccessLog(calls="all").slow_of("redis") is None
    with pytest.raises(ValidationError, match="leave it out"):
        AccessLog(calls="all", slow=0.5)


def test_the_defaults_are_those_of_the_documentation() -> None:
    http, tcp = HttpOptions(), TcpOptions()
    assert (http.limits.header_bytes, http.limits.header_count, http.limits.url_bytes) == (61440, 100, 8192)
    assert (http.limits.body, http.limits.pipelined) == (None, 64)
    assert (http.timeouts.header, http.timeouts.idle) == (15.0, 60.0)
    assert (http.timeouts.stream_idle, http.timeouts.tunnel_idle) == (300.0, 3600.0)
    assert (http.trusted_hops, http.half_close) == (0, False)
    assert (http.normalise.dot_segments, http.normalise.merge_slashes) == (True, True)
    assert http.normalise.escaped_slashes == "keep"
    assert (tcp.idle_timeout, tcp.max_duration) == (3600.0, None)
    assert Bind(address=Address("a", 1)).backlog == 1024
    assert Bind(address=Address("a", 1)).mode == "0660"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"routes": []}, "bind\n  Field required"),
        ({"bind": HERE}, "routes\n  Field required"),
        ({"bind": [], "routes": []}, "expected at least one"),
        ({"bind": HERE, "routes": 5}, "valid tuple"),
        ({"bind": HERE, "routes": "a b"}, "expected a name"),
        ({"bind": HERE, "routes": [], "protocol": "udp"}, "expected http, redis or tcp"),
        ({"bind": {"address": HERE, "mode": "999"}, "routes": []}, "three octal digits"),
        ({"bind": HERE, "routes": [], "access_log": "on"}, "Input should be 'off'"),
        ({"bind": HERE, "routes": [], "http": {"limits": {"header_bytes": "1B"}}}, "greater than or equal to 256"),
        (
            {"bind": HERE, "routes": [], "http": {"normalise": {"escaped_slashes": "no"}}},
            "'keep', 'reject' or 'decode'",
        ),
        (
            {"bind": HERE, "routes": [], "http": {"limits": {"header_bytes": "1KiB", "url_bytes": "2KiB"}}},
            "expected url_bytes to be no more than header_bytes",
        ),
        (
            {"bind": HERE, "routes": [], "tcp": {"idle_timeout": "2s", "max_duration": "1s"}},
            "idle_timeout: 2s is longer than the max_duration, 1s, which comes first",
        ),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Listener.model_validate(written)
