"""Calls of Redis, their replies, and what waits for them."""

from __future__ import annotations

from typing import Any

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


def test_the_key_follows_what_a_call_is_made_of() -> None:
    call = several("GET a", "GET b")
    assert call.resource == "a"
    call.rewrite([[b"GET", b"c"], [b"GET", b"b"]])
    assert (call.key, call.resource) == (b"c", "c")


def test_a_command_may_become_one_that_goes_the_same_way() -> None:
    call = several("DEL a b")
    call.rewrite([[b"unlink", b"a", b"b"]])
    assert (call.operation, call.row(0).name, call.words()) == ("UNLINK", "UNLINK", [b"unlink", b"a", b"b"])
    read = several("GET a", "GET b")
    read.rewrite([[b"GET", b"a"], [b"GETDEL", b"b"]])
    assert read.write
    assert [read.row(at).name for at in range(2)] == ["GET", "GETDEL"]


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("GET a", ["MGET", "a"], "MGET cannot be sent in the place of GET"),
        ("GET a", ["PING"], "PING cannot be sent in the place of GET"),
        ("GET a", ["NOSUCH", "a"], "NOSUCH cannot be sent in the place of GET"),
        ("OBJECT ENCODING a", ["OBJECT", "HELP"], "OBJECT cannot be sent in the place of OBJECT|ENCODING"),
    ],
)
def test_what_goes_another_way_cannot_take_its_place(text: str, words: list[str], said: str) -> None:
    call = several(text)
    with pytest.raises(ValueError) as caught:
        call.rewrite([[each.encode() for each in words]])
    assert str(caught.value) == said


def test_a_call_stays_as_many_commands_as_it_was() -> None:
    with pytest.raises(ValueError, match="1 commands in the place of 2"):
        several("GET a", "GET b").rewrite([[b"GET", b"a"]])


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


def test_a_body_that_is_replaced_has_replies_of_its_own() -> None:
    reply = RedisReply(b"+OK\r\n")
    reply.found([(43, 7, 12)], 7)
    reply.body = b"-ERR longer\r\n"
    assert reply.answers == [(45, 0, 13)]
    reply.check(1)
    assert reply.errors == 1


@pytest.mark.parametrize(
    "body", [b"", b"+OK\r\n", b"+OK\r\n" * 3, b"+OK\r\n$5\r\n", b"hello", b"+OK\r\n+OK\r\nx", "+OK"]
)
def test_other_replies_than_there_are_commands_are_found(body: Any) -> None:
    with pytest.raises(ValueError, match="a filter returned"):
        RedisReply(body, 2).check(2)
    RedisReply(b"+OK\r\n+OK\r\n", 2).check(2)
    RedisReply(body, 2, sound=True).check(2)
