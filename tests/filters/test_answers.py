"""Redirects and fixed replies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import Run, a_call
from twisted_mesh.call import Reply
from twisted_mesh.errors import Kind
from twisted_mesh.filters.answers import FixedReply, Redirect
from twisted_mesh.policy.rewrite import replace_path, replace_prefix
from twisted_mesh.stream import ByteStream


def reply_of(proceed: Any, **changes: Any) -> Reply:
    call = a_call()
    for name, value in changes.items():
        setattr(call, name, value)
    return Run(proceed, call).reply


def location(target: bytes = b"/api/x?y=1", authority: str = "shop.example:8080", **redirect: Any) -> str:
    found = reply_of(Redirect(**redirect), target=target, authority=authority).headers.get("location")
    assert found is not None
    return found


def test_a_fixed_reply() -> None:
    reply = reply_of(FixedReply(503, "closed", [("retry-after", "5")]))
    assert (reply.status, reply.body, reply.local) == (503, b"closed", True)
    assert list(reply.headers.items()) == [("retry-after", "5"), ("content-type", "text/plain; charset=utf-8")]


def test_a_fixed_reply_keeps_the_content_type_that_is_given() -> None:
    reply = reply_of(FixedReply(200, "{}", [("Content-Type", "application/json")]))
    assert list(reply.headers.items()) == [("content-type", "application/json")]
    assert list(reply_of(FixedReply(204)).headers.items()) == []


@pytest.mark.parametrize("proceed", [FixedReply(200, "x"), Redirect(change=replace_path("/new"))])
def test_the_limit_of_a_body_binds_here_too(proceed: Any) -> None:
    """Whole bodies, and streams by the length they tell."""
    for body in (b"abcde", ByteStream(length=5)):
        call = a_call()
        call.body = body
        call.body_limit = 4
        assert Run(proceed, call).error.kind is Kind.TOO_LARGE
        call.body_limit = 5
        assert Run(proceed, call).reply.local


def test_each_call_gets_a_reply_of_its_own() -> None:
    proceed = FixedReply(200, "x")
    reply_of(proceed).headers.add("a", "1")
    assert "a" not in reply_of(proceed).headers
    assert repr(proceed) == "<FixedReply 200 1 bytes>"


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        ({"change": replace_path("/new")}, "/new?y=1"),
        ({"change": replace_prefix("/api", "/v2")}, "/v2/x?y=1"),
        ({"change": replace_path("/v2/{name}", "/api/{name}")}, "/v2/x?y=1"),
        ({"host": "b.example"}, "//b.example/api/x?y=1"),
        ({"scheme": "https"}, "https://shop.example:8080/api/x?y=1"),
        ({"scheme": "https", "host": "b.example:8443", "change": replace_path("/")}, "https://b.example:8443/?y=1"),
        ({"url": "https://c.example/all"}, "https://c.example/all"),
    ],
)
def test_what_is_not_given_stays(redirect: dict[str, Any], expected: str) -> None:
    assert location(**redirect) == expected


@pytest.mark.parametrize(
    ("authority", "scheme", "expected"),
    [
        ("shop.example", "https", "https://shop.example/api/x?y=1"),
        ("shop.example:80", "https", "https://shop.example/api/x?y=1"),
        ("shop.example:443", "http", "http://shop.example/api/x?y=1"),
        ("[::1]:80", "https", "https://[::1]/api/x?y=1"),
        ("[::1]", "https", "https://[::1]/api/x?y=1"),
    ],
)
def test_the_port_of_the_old_scheme_is_dropped(authority: str, scheme: str, expected: str) -> None:
    assert location(authority=authority, scheme=scheme) == expected


def test_a_target_that_is_no_path_goes_to_the_root() -> None:
    assert location(target=b"*", host="b.example") == "//b.example/"


def test_bytes_of_the_target_stay_what_they_are() -> None:
    assert location(target=b"/caf\xc3\xa9?q=%C3%A9", host="b") == "//b/caf\xc3\xa9?q=%C3%A9"


def test_the_status() -> None:
    reply = reply_of(Redirect(308, change=replace_path("/new")))
    assert (reply.status, reply.body, reply.local) == (308, b"", True)
    assert repr(Redirect(301, host="b")) == "<Redirect 301 (None, 'b', None)>"


def test_no_path_makes_another_host_of_a_redirect() -> None:
    """Where slashes are not merged."""
    reply = reply_of(
        Redirect(change=replace_prefix("/api", "/")), resource="/api//b.example/x", target=b"/api//b.example/x"
    )
    assert reply.headers.get("location") == "/b.example/x"
    assert location(target=b"//b.example/x", scheme="https") == "https://shop.example:8080/b.example/x"


def test_without_a_host_there_is_nowhere_to_go() -> None:
    call = a_call()
    call.authority = ""
    error = Run(Redirect(scheme="https"), call).error
    assert error.kind is Kind.BAD_REQUEST
