"""Commands in any cuts: found as hiredis reads them, refused as a server refuses them."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, one_by_one, same_in_any_cut
from tests.servers import Server
from tests.support import RawClient
from twisted_mesh.codec.resp import arguments, pack
from twisted_mesh.codec.resp_request import RequestReader

NAMES = st.sampled_from([b"GET", b"set", b"MSET", b"PING", b"x", b"", b"a b", b"\xff\r\n", b"C" * 120])
COMMANDS = st.lists(
    st.tuples(NAMES, st.lists(st.binary(max_size=30), max_size=6)).map(lambda parts: [parts[0], *parts[1]]), max_size=6
)
# What means nothing, between commands.
NOTHING = st.sampled_from([b"", b"", b"", b"\r\n", b"\n", b" \r\n", b"*0\r\n", b"*-1\r\n", b"*-7\r\n"])
INLINE = st.lists(st.sampled_from([b"GET", b"k", b"PING", b"v1"]), min_size=1, max_size=4)


class Heard(NamedTuple):
    """What a reader made of its bytes."""

    commands: list[list[bytes]]
    error: Optional[str]


def read(pieces: Sequence[bytes]) -> Heard:
    reader = RequestReader()
    commands = []
    for piece in pieces:
        for name, key, words, start, end in reader.feed(piece):
            command = arguments(reader.data[start:end])
            # What was found on the way is what stands there.
            assert (name, key, words) == (command[0], command[1] if len(command) > 1 else None, len(command))
            commands.append(command)
    return Heard(commands, reader.error and reader.error.text)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[list[bytes]]]:
    """(bytes, the commands in them): arrays, inline commands and nothing, mixed."""
    data = b""
    expected = []
    for command in draw(COMMANDS):
        data += draw(NOTHING) + pack(command)
        expected.append(command)
        if draw(st.integers(0, 3)) == 0:
            words = draw(INLINE)
            data += b" ".join(words) + draw(st.sampled_from([b"\r\n", b"\n"]))
            expected.append(words)
    return data + draw(NOTHING), expected


@given(streams(), PLACES)
def test_every_command_is_found_in_any_cut(stream: tuple[bytes, list[list[bytes]]], places: list[int]) -> None:
    data, commands = stream
    assert same_in_any_cut(data, places, read) == Heard(commands, None)


@given(COMMANDS, PLACES)
def test_hiredis_reads_the_same(commands: list[list[bytes]], places: list[int]) -> None:
    data = b"".join(map(pack, commands))
    reader = hiredis.Reader()
    reader.feed(data)
    assert same_in_any_cut(data, places, read).commands == [reader.gets() for _ in commands]


@given(streams(), st.integers(0, 300), st.binary(min_size=1, max_size=3), PLACES)
def test_spoilt_bytes_are_the_same_in_any_cut(
    stream: tuple[bytes, list[list[bytes]]], place: int, other: bytes, places: list[int]
) -> None:
    """Whether they are refused or become something else: the pieces make no difference."""
    data = stream[0][:place] + other + stream[0][place + len(other) :]
    same_in_any_cut(data, places, read)


@given(st.binary(max_size=60), PLACES)
def test_any_bytes(data: bytes, places: list[int]) -> None:
    same_in_any_cut(data, places, read)


# --- what is refused, as a server does

LONG = 70_000
TOO_BIG = "too big inline request"
REFUSED: list[tuple[bytes, str]] = [
    (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
    (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\n\xe9\r\n", "expected '$', got '\udce9'"),
    (b"*2\r\n$3\r\nGET\r\n:1\r\n", "expected '$', got ':'"),
    (b"*x\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"*01\r\n$4\r\nPING\r\n", "invalid multibulk length"),
    (b"*+1\r\n$4\r\nPING\r\n", "invalid multibulk length"),
    (b"*-0\r\n", "invalid multibulk length"),
    (b"*1 \r\n$4\r\nPING\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*1\n$4\r\nPING\r\n", "invalid multibulk length"),
    (b"*1\rX$4\r\nPING\r\n", "invalid CRLF in request"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$x\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$ 4\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\n$4\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$4\r\nPINGxxPING\r\n", "invalid CRLF in request"),
    (b"*2\r\n$3\r\nGET\r\n$1\r\nab\r\n", "invalid CRLF in request"),
    (b'GET "a\r\n', "unbalanced quotes in request"),
    (b"a" * LONG, TOO_BIG),
    (b"*" + b"1" * LONG, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * LONG, "too big bulk count string"),
]


@pytest.mark.parametrize(("data", "text"), REFUSED, ids=lambda each: str(each)[:40])
def test_refused_in_the_words_of_the_server(server: Server, data: bytes, text: str) -> None:
    """After the commands before it, which are answered; and the server agrees about every byte of the answer."""
    behind = b"PING\r\n" if data.endswith(b"\n") else b""
    assert read([pack([b"ECHO", b"a"]) + data + behind]) == Heard([[b"ECHO", b"a"]], text)
    if len(data) < LONG:
        assert read(one_by_one(data)) == Heard([], text)
    else:
        assert read([data[at : at + 1000] for at in range(0, len(data), 1000)]) == Heard([], text)
    reader = RequestReader()
    reader.feed(data)
    assert reader.error is not None
    if text == "invalid CRLF in request" and b"valkey_version:9" not in server("INFO", "server"):
        # Older ones take any two bytes for a line break, and wait.
        return
    with RawClient(server.port) as client:
        client.send(data)
        assert client.read_until(b"\r\n") == reader.error.reply


@pytest.mark.parametrize("line", [b"SET a b\x00c", b"\x00", b'ECHO "a\x00b"', b"ECHO 'a\x00b", b"PING\x00 a\r"])
def test_a_server_waits_behind_a_nul(server: Server, line: bytes) -> None:
    """It sees no line break there, so that all that follows is part of the line, which becomes too long."""
    data = b"PING\r\n" + line + b"\nPING\r\n"
    assert read([data]) == read(one_by_one(data)) == Heard([[b"PING"]], None)
    too_much = b"PING\r\n" * 11_000
    assert read([data, too_much]) == Heard([[b"PING"]], TOO_BIG)
    with RawClient(server.port) as client:
        client.send(data + too_much)
        assert client.read_until(b"request\r\n") == b"+PONG\r\n-ERR Protocol error: too big inline request\r\n"


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_a_line_that_has_ended_may_be_a_little_longer(server: Server, size: int) -> None:
    line = b"ECHO " + b"a" * (size - 5)
    assert read([line + b"\n"]) == Heard([[b"ECHO", line[5:]]], None)
    in_time = size <= 65_536
    if in_time:
        # With more it would matter in what pieces it comes to the server.
        with RawClient(server.port) as client:
            client.send(line + b"\n")
            assert client.read_exactly(8) == b"$%d\r\n" % (size - 5)
    assert read([line, b"\n"]) == Heard([[b"ECHO", line[5:]]] if in_time else [], None if in_time else TOO_BIG)


@pytest.mark.parametrize("data", [b"*1\rX", b"*1\r\n+", b"*1\r\n$1\r\nab", b"*1\r\n$1\r\na\n"])
def test_what_cannot_become_right_is_refused_before_it_ends(data: bytes) -> None:
    assert read(one_by_one(data)).error is not None


def test_nothing_is_read_behind_an_error() -> None:
    reader = RequestReader()
    assert len(reader.feed(b"PING\r\n*x\r\nPING\r\n")) == 1
    assert reader.error is not None
    assert reader.feed(b"PING\r\n") == [] and reader.data == b""


def test_strangers_may_send_little(server: Server) -> None:
    """Ten words of 16 KiB, until somebody says that the client has logged in."""
    for data, text in (
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
    ):
        reader = RequestReader(trusted=False)
        assert reader.feed(data) == []
        assert reader.error is not None and reader.error.text == text
        server("CONFIG", "SET", "requirepass", "secret")
        try:
            with RawClient(server.port) as client:
                client.send(data)
                assert client.read_until(b"\r\n") == reader.error.reply
        finally:
            server.password = "secret"
            server("CONFIG", "SET", "requirepass", "")
            server.password = ""
    reader = RequestReader(trusted=False)
    assert len(reader.feed(pack([b"AUTH", b"x" * 16384]) + pack([b"a"] * 10) + b"PING a\r\n")) == 3
    reader.trusted = True
    assert len(reader.feed(pack([b"a"] * 11))) == 1


# --- what is large


def test_a_large_command_is_let_through_piece_by_piece() -> None:
    """Nothing of it is kept once it has been released; what stands before and behind it is found."""
    value = bytes(range(256)) * 4096
    large = pack([b"SET", b"key", value, b"EX", b"10"])
    data = pack([b"GET", b"a"]) + large + pack([b"GET", b"b"])
    reader = RequestReader()
    names, through = [], b""
    for at in range(0, len(data), 65_536):
        found = reader.feed(data[at : at + 65_536])
        through += reader.through
        names += [reader.data[start:end] for _, _, _, start, end in found]
        command = reader.unfinished
        if command is not None and command.kept:
            assert (command.name, command.key, command.words) == (b"SET", b"key", 5)
            assert reader.held == command.size
            through += reader.release()
        assert reader.held == 0
    assert through == large
    assert names == [pack([b"GET", b"a"]), pack([b"GET", b"b"])]
    assert reader.unfinished is None and reader.error is None
    reader.feed(pack([b"PING"]))
    assert reader.through == b""


@pytest.mark.parametrize("name", [b"GET", b"G" * 1200])
def test_a_large_command_that_is_kept_is_bounded(name: bytes) -> None:
    reader = RequestReader(limit=1000)
    large = pack([name, b"k" * 2000, b"v" * 2000])
    found: list[Any] = []
    for at in range(0, len(large), 100):
        found += reader.feed(large[at : at + 100])
        assert reader.held <= 1100
    assert found == [(b"", name if len(name) < 1000 else b"", 0, 0, 0)]
    data = pack([b"GET", b"a"])
    assert reader.feed(data) == [(b"GET", b"a", 2, 0, len(data))]
    assert reader.error is None and reader.idle


def test_what_is_dropped_stands_between_its_neighbours() -> None:
    reader = RequestReader(limit=1000)
    before, large, behind = pack([b"GET", b"a"]), pack([b"MSET", b"k", b"v" * 2000]), pack([b"GET", b"b"])
    assert len(reader.feed(before + large[:1500])) == 1
    found = reader.feed(large[1500:] + behind)
    assert found == [(b"", b"MSET", 0, 0, 0), (b"GET", b"b", 2, 0, len(behind))]
    assert reader.data == behind and reader.through == b""


def test_an_announced_size_takes_no_memory() -> None:
    reader = RequestReader()
    assert reader.feed(b"*2147483647\r\n$536870912\r\n") == []
    assert reader.error is None and reader.held == 25
    assert "2147483647 words to come" in repr(reader)


def test_what_comes_in_many_pieces_is_read_once() -> None:
    """A command of 20,000 words in 2,500 pieces, and a value in as many: neither is begun anew with each piece."""
    for command in ([b"MSET", *[b"0123456789"] * 20_000], [b"SET", b"k", b"v" * 400_000]):
        data = pack(command)
        assert read([data[at : at + 160] for at in range(0, len(data), 160)]) == Heard([command], None)


def test_names_and_reprs() -> None:
    assert repr(RequestReader()) == "<RequestReader 'between commands'>"
    assert arguments(pack([b"A", b"", b"\r\n$"])) == [b"A", b"", b"\r\n$"]
