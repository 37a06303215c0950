"""SCAN over several servers finds what each of them has, once, and ends."""

from __future__ import annotations

from typing import Iterator

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import Server
from tests.support import RawClient
from twisted_mesh.codec.scan_cursor import SERVERS_LIMIT, Step, coded, marks, step


@given(st.integers(1, 2**54 - 1), st.sets(st.integers(0, SERVERS_LIMIT - 1), min_size=1), st.data())
def test_a_cursor_and_back(cursor: int, servers: set[int], data: st.DataObject) -> None:
    given = sorted(servers)
    mark = data.draw(st.sampled_from(given))
    reply = coded(b"*2\r\n$%d\r\n%d\r\n*0\r\n" % (len(str(cursor)), cursor), mark, given)
    assert reply.endswith(b"\r\n*0\r\n")
    assert step(reply.split(b"\r\n")[2], given) == Step(mark, b"%d" % cursor)


def test_from_one_server_to_the_next() -> None:
    done = b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"
    assert step(b"0", [0, 7, 9]) == Step(0, b"0")
    assert step(b"0", [2, 7, 9]) == Step(2, b"0")
    assert coded(done, 0, [0, 7, 9]) == b"*2\r\n$1\r\n7\r\n*1\r\n$1\r\nk\r\n"
    assert step(b"7", [0, 7, 9]) == Step(7, b"0")
    assert coded(done, 9, [0, 7, 9]) == done
    assert coded(done, 0, [0]) == done


def test_a_server_that_is_gone_is_passed_over_and_the_others_are_not() -> None:
    at = b"%d" % (5 * SERVERS_LIMIT + 7)
    assert step(at, [0, 7, 9]) == Step(7, b"5")
    assert step(at, [0, 3, 7, 8, 9]) == Step(7, b"5")
    assert step(at, [0, 9]) == Step(9, b"0")
    assert step(at, [0, 3]) is None
    # It has gone while it was asked.
    assert coded(b"*2\r\n$1\r\n0\r\n*0\r\n", 7, [0, 9]) == b"*2\r\n$1\r\n9\r\n*0\r\n"


def test_each_server_has_a_mark_of_its_own() -> None:
    assert marks([5, 9, 5, 5, 1023, 1023]) == [5, 9, 6, 7, 1023, 0]
    assert sorted(marks([3] * SERVERS_LIMIT)) == list(range(SERVERS_LIMIT))


@pytest.mark.parametrize("cursor", [b"", b"-1", b"x", b"1x", b"18446744073709551616", b"0" * 21, b"\xb2"])
def test_what_is_no_cursor(cursor: bytes) -> None:
    with pytest.raises(ValueError, match="invalid cursor"):
        step(cursor, [0, 1, 2])


def test_what_cannot_be_coded_is_no_cursor_of_a_server() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        coded(b"*2\r\n$17\r\n18014398509481984\r\n*0\r\n", 0, [0, 1, 2])


def test_an_error_is_passed_on() -> None:
    assert coded(b"-NOPERM a\r\n", 0, [0, 1, 2]) == b"-NOPERM a\r\n"


@pytest.fixture(scope="module")
def shards() -> Iterator[list[Server]]:
    servers = [Server().start() for _ in range(3)]
    yield servers
    for each in servers:
        each.stop()


def test_three_servers(shards: list[Server]) -> None:
    """One of which has nothing, so that its step is an empty one."""
    wanted = []
    for number, server in ((0, shards[0]), (2, shards[2])):
        for each in range(200):
            server("SET", f"{number}-{each}", "x")
            wanted.append(f"{number}-{each}".encode())
    found: list[bytes] = []
    cursor, steps = b"0", 0
    while steps < 1000:
        where = step(cursor, [0, 1, 2])
        assert where is not None
        reply = coded(asked(shards[where.mark], b"SCAN %b COUNT 20\r\n" % where.cursor), where.mark, [0, 1, 2])
        reader = hiredis.Reader()
        reader.feed(reply)
        cursor, keys = reader.gets()
        found += keys
        steps += 1
        if cursor == b"0":
            break
    assert sorted(set(found)) == sorted(wanted)
    assert steps > 10


def asked(server: Server, command: bytes) -> bytes:
    """Return the reply of a server as the bytes that it sent."""
    reader = hiredis.Reader()
    data = b""
    with RawClient(server.port) as client:
        client.send(command)
        while reader.gets() is False:
            piece = client.sock.recv(65536)
            assert piece
            data += piece
            reader.feed(piece)
    return data
