"""What is particular about the head of a request on its way to an endpoint."""

from __future__ import annotations

import pytest

from tests.upstream.test_http1 import call
from twisted_mesh.headers import Headers
from twisted_mesh.upstream.http_request import METHODS, end_of_empty, method, name_host


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
