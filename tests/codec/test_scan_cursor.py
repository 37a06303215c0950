"""SCAN over several servers finds what each of them has, once, and ends."""

from __future__ import annotations

from typing import Iterator

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import Server
from tests.support import RawClient
from twisted_mesh.codec.scan_cursor import SERVERS_LIMIT, Step, coded, step


@given(st.integers(1, 2**54 - 1), st.integers(1, SERVERS_LIMIT), st.data())
def test_a_cursor_and_back(cursor: int, servers: int, data: st.DataObject) -> None:
    server = data.draw(st.integers(0, servers - 1))
    reply = coded(b"*2\r\n$%d\r\n%d\r\n*0\r\n" % (len(str(cursor)), cursor), server, servers)
    assert reply.endswith(b"\r\n*0\r\n")
    assert step(reply.split(b"\r\n")[2], servers) == Step(server, b"%d" % cursor)


def test_from_one_server_to_the_next() -> None:
    done = b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"
    assert step(b"0", 3) == Step(0, b"0")
    assert coded(done, 0, 3) == b"*2\r\n$1\r\n1\r\n*1\r\n$1\r\nk\r\n"
    assert step(b"1", 3) == Step(1, b"0")
    assert coded(done, 2, 3) == done
    assert coded(done, 0, 1) == done


@pytest.mark.parametrize(
    "cursor", [b"", b"-1", b"x", b"1x", b"3", b"1023", b"18446744073709551616", b"0" * 21, b"\xb2"]
)
def test_what_is_no_cursor(cursor: bytes) -> None:
    with pytest.raises(ValueError, match="invalid cursor"):
        step(cursor, 3)


def test_what_cannot_be_coded_is_no_cursor_of_a_server() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        coded(b"*2\r\n$17\r\n18014398509481984\r\n*0\r\n", 0, 3)


def test_an_error_is_passed_on() -> None:
    assert coded(b"-NOPERM a\r\n", 0, 3) == b"-NOPERM a\r\n"


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
        where = step(cursor, 3)
        reply = coded(asked(shards[where.server], b"SCAN %b COUNT 20\r\n" % where.cursor), where.server, 3)
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
