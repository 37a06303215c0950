"""Calls of Redis, their replies, and what waits for them."""

from __future__ import annotations

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.codec.commands import find
from twisted_mesh.redis_call import RedisCall, RedisReply, errors_in
from twisted_mesh.stream import ByteStream


def test_a_call_knows_its_commands() -> None:
    call = several("GET a", "HGET h f", "GET b")
    assert [call.words(at) for at in range(3)] == [[b"GET", b"a"], [b"HGET", b"h", b"f"], [b"GET", b"b"]]
    assert [call.row(at).name for at in range(3)] == ["GET", "HGET", "GET"]
    assert (call.operation, call.resource, call.count) == ("GET", "a", 3)
    assert call.idempotent
    assert not several("SET a 1").idempotent or several("SET a 1").write is False


def test_a_key_that_is_no_text_is_kept_as_surrogates() -> None:
    call = several("GET a")
    call.key = b"\xff\x00"
    assert call.resource.encode("utf-8", "surrogateescape") == b"\xff\x00"


def test_headers_are_made_when_somebody_asks() -> None:
    call = several("GET a")
    assert call.headers is call.headers
    assert list(call.headers.items()) == []
    reply = RedisReply(b"+OK\r\n")
    assert reply.headers is reply.headers


def test_a_call_may_be_rewritten() -> None:
    call = several("GET a", "GET b")
    call.rewrite([[b"GET", b"t:a"], [b"GET", b"t:b"]])
    assert call.body == call.data == b"*2\r\n$3\r\nGET\r\n$3\r\nt:a\r\n*2\r\n$3\r\nGET\r\n$3\r\nt:b\r\n"
    assert call.words(1) == [b"GET", b"t:b"]


def test_some_commands_of_a_call_stand_as_if_they_were_all() -> None:
    call = several("GET a", "GET bb", "DBSIZE")
    commands, data = call.some([1, 2])
    assert data == b"*2\r\n$3\r\nGET\r\n$2\r\nbb\r\n*1\r\n$6\r\nDBSIZE\r\n"
    assert commands == [(b"GET", b"bb", 2, 0, 21), (b"DBSIZE", None, 1, 21, 37)]


def test_a_call_of_a_value_on_its_way_knows_its_first_words() -> None:
    command = find(b"SET")
    assert command is not None
    call = RedisCall("cache", command, [(b"SET", b"k", 3, 0, 0)], b"", ByteStream())
    assert call.words() == [b"SET", b"k"]


def test_replies_are_found_in_their_body() -> None:
    body = b"+OK\r\n-ERR x\r\n*2\r\n:1\r\n:2\r\n"
    reply = RedisReply(body, 3)
    assert [body[start:end] for _, start, end in reply.answers] == [b"+OK\r\n", b"-ERR x\r\n", b"*2\r\n:1\r\n:2\r\n"]
    assert errors_in(reply.answers) == 1
    shifted = RedisReply(b"-ERR x\r\n", 1)
    shifted.found([(45, 5, 13)], 5)
    assert shifted.answers == [(45, 0, 8)]
    with pytest.raises(ValueError, match="on their way"):
        _ = RedisReply(ByteStream()).answers
