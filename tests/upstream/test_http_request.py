"""What is particular about the head of a request on its way to an endpoint."""

from __future__ import annotations

import pytest

from tests.upstream.test_http1 import call
from twisted_mesh.call import Call
from twisted_mesh.codec.lines import parse_field
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.upstream.http_request import METHODS, bring_up_to_date, end_of_empty, method, name_host


def test_methods() -> None:
    """Usual ones are known beforehand; others must be tokens."""
    assert METHODS["GET"] == method("GET") == b"GET"
    assert method("M-SEARCH") == b"M-SEARCH"
    for wrong in ("", "GET /", "A\r\nB", "Ü"):
        with pytest.raises(ValueError, match="not a method"):
            method(wrong)


@pytest.mark.parametrize(("address", "host"), [("10.0.0.1:80", "10.0.0.1:80"), ("unix:/run/x", "localhost")])
def test_a_host_for_who_gave_none(address: str, host: str) -> None:
    made = call()
    made.headers = Headers.of([("A", "1")])
    name_host(made, address)
    name_host(made, "another:1")
    assert list(made.headers.items()) == [("host", host), ("a", "1")]


def test_the_end_of_a_request_without_a_body() -> None:
    assert end_of_empty(call("DELETE")) == b"\r\n"
    assert end_of_empty(call("PATCH")) == b"content-length: 0\r\n\r\n"
    assert end_of_empty(call(trailers=((b"x", b"1"),))) == b"transfer-encoding: chunked\r\n\r\n0\r\nx: 1\r\n\r\n"
    assert end_of_empty(call(upgrade="tcp")) == b"connection: upgrade\r\nupgrade: tcp\r\n\r\n"
    with pytest.raises(ValueError, match="upgrade"):
        end_of_empty(call(upgrade="a\r\nb: c"))


def in_a_hurry(*lines: bytes, **more: object) -> Call:
    made = call()
    made.headers = Headers([parse_field(each) for each in lines])
    made.authority = "a"
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("times", "left"),
    [
        ({"deadline": 12.5}, b"1500ms"),
        ({"deadline": 12.5, "received": 10.0, "timeout": 2.0}, b"1000ms"),
        ({"deadline": 12.5, "received": 10.0, "timeout": 9.0, "try_ends": 11.25}, b"250ms"),
        ({"deadline": 12.5, "timeout": 2.0}, b"1500ms"),
        ({}, b"5s"),
    ],
)
def test_each_try_says_what_is_left(times: dict[str, object], left: bytes) -> None:
    """The least of the caller's deadline, the route's timeout and that of the try; what is no limit says nothing."""
    made = in_a_hurry(b"Host: a", b"X-Mesh-Timeout: 5s", **times)
    bring_up_to_date(made, "10.0.0.1:80", 11.0)
    assert made.headers.get_bytes(b"x-mesh-timeout") == left
    assert len(made.headers) == 2


def test_nothing_is_sent_for_a_caller_that_waits_no_longer() -> None:
    made = in_a_hurry(b"grpc-timeout: 1S", started=10.0, deadline=11.0)
    with pytest.raises(MeshError, match="waits no longer than 1 s") as caught:
        bring_up_to_date(made, "10.0.0.1:80", 11.0)
    assert (caught.value.kind, caught.value.origin) == (Kind.DEADLINE, Origin.CLIENT)
