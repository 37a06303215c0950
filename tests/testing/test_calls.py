"""Calls as the adapters make them."""

from __future__ import annotations

import pytest

from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.headers import Headers
from twisted_mesh.testing import http_call, tcp_call


def test_an_http_call_has_what_the_adapter_gives_it() -> None:
    call = http_call("POST", "/a/../b//c?d=e", {"X-A": "1"}, b"body", host="Shop.Example:8080")
    assert (call.protocol, call.operation) == ("http", "POST")
    assert (call.target, call.resource, call.query) == (b"/b/c?d=e", "/b/c", "d=e")
    assert (call.authority, call.host) == ("Shop.Example:8080", "shop.example")
    assert call.headers.get("host") == "Shop.Example:8080"
    assert call.headers.get("x-a") == "1"
    assert call.headers.get("x-request-id") == call.id
    assert (call.peer, call.client) == ("127.0.0.1:50000", "127.0.0.1")
    assert call.body == b"body"


def test_headers_may_be_given_whole_and_an_id_is_kept() -> None:
    call = http_call(headers=Headers.of([("Host", "a"), ("x-request-id", "mine"), ("x-a", "1"), ("x-a", "2")]))
    assert (call.host, call.id) == ("a", "mine")
    assert call.headers.get_all("x-a") == ["1", "2"]
    assert call.headers.get_all("host") == ["a"]


def test_ids_differ() -> None:
    assert http_call().id != http_call().id


def test_what_the_adapter_refuses_is_refused() -> None:
    with pytest.raises(HttpError):
        http_call("GET", "/a b")


def test_a_tcp_call() -> None:
    call = tcp_call(peer="10.0.0.9:1234")
    assert (call.protocol, call.operation, call.client) == ("tcp", "CONNECT", "10.0.0.9")
    assert len(call.headers) == 0
