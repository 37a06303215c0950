"""Calls as the adapters make them."""

from __future__ import annotations

import pytest

from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.headers import Headers
from twisted_mesh.testing import http_call, redis_call, tcp_call


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


def test_a_redis_call() -> None:
    call = redis_call("SET", "user:1", b"\xff", identity="ann", db=2, peer="10.0.0.9:1234")
    assert (call.protocol, call.operation, call.resource, call.key) == ("redis", "SET", "user:1", b"user:1")
    assert (call.count, call.write, call.idempotent) == (1, True, False)
    assert call.words() == [b"SET", b"user:1", b"\xff"]
    assert call.body == call.data == b"*3\r\n$3\r\nSET\r\n$6\r\nuser:1\r\n$1\r\n\xff\r\n"
    assert (call.identity, call.db, call.client, call.bytes_in) == ("ann", 2, "10.0.0.9", len(call.data))
    assert redis_call("object", "encoding", "k").operation == "OBJECT|ENCODING"
    assert redis_call("DBSIZE").key == b""
    assert redis_call("XREAD", "STREAMS", "s", "0").key == b"s"


def test_a_redis_call_of_several_commands() -> None:
    call = redis_call("GET", "a", then=[("GET", "b"), ("HGET", "c", "d")])
    assert (call.count, call.operation, call.key, call.write) == (3, "GET", b"a", False)
    assert call.words(2) == [b"HGET", b"c", b"d"]
    assert call.row(2).name == "HGET"
    assert call.body == call.data
    assert len(call.data) == call.commands[-1][4]


@pytest.mark.parametrize(
    ("words", "then", "why"),
    [
        (("FOO",), (), "no command FOO"),
        (("GET",), (), "wrong number of arguments for GET"),
        (("SHUTDOWN",), (), "SHUTDOWN gets into no call"),
        (("CLIENT", "ID"), (), r"CLIENT\|ID gets into no call"),
        (("GET", "a"), [("SET", "a", "1")], "GET and SET do not travel together"),
        (("MGET", "a"), [("MGET", "b")], "MGET and MGET do not travel together"),
    ],
)
def test_what_no_redis_listener_makes_a_call_of(words: tuple[str, ...], then: list[tuple[str, ...]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        redis_call(*words, then=then)
