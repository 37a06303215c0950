"""Commands of many keys over several servers: what each gets, and what the client hears."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import Server
from tests.support import RawClient
from twisted_mesh.codec.command_split import Part, merge, split
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import OK, array, bulk, error, integer, null
from twisted_mesh.codec.slots import slot

DOWN = error("ERR", "upstream failure")


def named(name: bytes) -> Command:
    command = find(name)
    assert command is not None
    return command


def first_letters(keys: Sequence[bytes]) -> list[bytes]:
    return [key[:1] for key in keys]


def parts_of(line: str) -> list[Part[bytes]]:
    words = line.encode().split()
    return split(named(words[0]), words, first_letters)


def test_one_command_for_each_server_in_the_order_of_the_keys() -> None:
    parts = parts_of("MGET b1 a1 b2 c1 a2 b1")
    assert [(each.owner, each.places, each.words) for each in parts] == [
        (b"b", [0, 2, 5], [b"MGET", b"b1", b"b2", b"b1"]),
        (b"a", [1, 4], [b"MGET", b"a1", b"a2"]),
        (b"c", [3], [b"MGET", b"c1"]),
    ]
    assert parts[2].data == b"*2\r\n$4\r\nMGET\r\n$2\r\nc1\r\n"
    assert repr(parts[0]) == "<Part of 3 keys for b'b'>"


def test_values_go_with_their_keys() -> None:
    assert [each.words for each in parts_of("mset b1 x a1 y b2 z")] == [
        [b"mset", b"b1", b"x", b"b2", b"z"],
        [b"mset", b"a1", b"y"],
    ]


@pytest.mark.parametrize("line", ["MSET a", "MSET a 1 b", "MSET", "DEL", "MGET"])
def test_what_is_incomplete_is_refused_in_the_words_of_the_server(server: Server, line: str) -> None:
    with pytest.raises(ValueError, match="wrong number of arguments for") as refused:
        parts_of(line)
    with RawClient(server.port) as client:
        client.send(line.encode() + b"\r\n")
        assert client.read_until(b"\r\n") == error("ERR", str(refused.value))


def test_values_come_back_in_the_order_of_the_keys() -> None:
    parts = parts_of("MGET b1 a1 b2 c1")
    replies = [array([bulk(b"B1"), null(3)]), array([bulk(b"*1\r\n")]), array([null(2)])]
    assert merge(named(b"MGET"), parts, replies) == array([bulk(b"B1"), bulk(b"*1\r\n"), null(3), null(2)])


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (DOWN, DOWN),
        (b"-LOADING a\r\n", b"-LOADING a\r\n"),
        (OK, error("ERR", "upstream protocol error")),
        (array([bulk(b"x")]), error("ERR", "upstream protocol error")),
        (array([bulk(b"x")] * 3), error("ERR", "upstream protocol error")),
    ],
)
def test_what_one_server_cannot_do_stands_in_its_place(reply: bytes, told: bytes) -> None:
    parts = parts_of("MGET b1 a1 b2")
    assert merge(named(b"MGET"), parts, [reply, array([bulk(b"A")])]) == array([told, bulk(b"A"), told])


@pytest.mark.parametrize("name", ["DEL", "UNLINK", "EXISTS", "TOUCH"])
def test_sums(name: str) -> None:
    parts = parts_of(f"{name} a1 b1 a2")
    assert merge(named(name.encode()), parts, [integer(2), integer(1)]) == integer(3)
    assert merge(named(name.encode()), parts, [integer(2), DOWN]) == b"-ERR finished with 1 error(s)\r\n"
    assert merge(named(name.encode()), parts, [OK, DOWN]) == b"-ERR finished with 2 error(s)\r\n"


def test_what_all_servers_say_alike_is_said() -> None:
    full = error("OOM", "command not allowed when used memory > 'maxmemory'.")
    assert merge(named(b"MSET"), parts_of("MSET a 1 b 2"), [full, full]) == full
    assert merge(named(b"MSET"), parts_of("MSET a 1 b 2"), [OK, OK]) == OK
    assert merge(named(b"MSET"), parts_of("MSET a 1 b 2"), [OK, full]) == b"-ERR finished with 1 error(s)\r\n"


def test_the_reply_of_one_server_is_passed_on_as_it_is() -> None:
    for reply in (OK, DOWN, b"-WRONGTYPE x\r\n", array([bulk(b"a")])):
        assert merge(named(b"MGET"), parts_of("MGET a1 a2"), [reply]) == reply


@pytest.fixture(scope="module")
def shards() -> Iterator[list[Server]]:
    servers = [Server().start() for _ in range(3)]
    yield servers
    for each in servers:
        each.stop()


KEYS = st.lists(st.binary(max_size=3), min_size=1, max_size=8)


@given(KEYS, st.lists(st.binary(max_size=5), min_size=8, max_size=8))
def test_three_servers_answer_as_one(
    shards: list[Server], server: Server, keys: list[bytes], values: list[bytes]
) -> None:
    """What a client hears of three servers together is what one server with all the keys says, byte by byte."""
    for each in [*shards, server]:
        each("FLUSHALL")
    pairs = [word for pair in zip(keys[::2], values) for word in pair]
    for words in (
        [b"MSET", *pairs],
        [b"MGET", *keys],
        [b"EXISTS", *keys],
        [b"TOUCH", *keys],
        [b"DEL", *keys],
        [b"UNLINK", *keys],
    ):
        parts = split(named(words[0]), words, lambda keys: [slot(key) % 3 for key in keys])
        replies = [asked(shards[part.owner], part.data) for part in parts]
        assert merge(named(words[0]), parts, replies) == asked(server, hiredis.pack_command(tuple(words)))


def asked(server: Server, command: bytes) -> bytes:
    """Return the reply of a server as the bytes that it sent."""
    reader: Any = hiredis.Reader()
    with RawClient(server.port) as client:
        client.send(command)
        data = b""
        while reader.gets() is False:
            piece = client.sock.recv(65536)
            assert piece
            data += piece
            reader.feed(piece)
    return data
