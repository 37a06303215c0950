"""Response heads: where their bodies end, what is refused, and that llhttp never reads them in another way."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, same_in_any_cut
from tests.codec.heads import response_heads, spoilt
from tests.codec.peer import hear_responses
from tests.codec.test_request import ours, ours_of
from twisted_mesh.codec import lines as sorts
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.response import CHUNKED, NO_BODY, UNTIL_CLOSE, ResponseHead, ResponseReader


class Read(NamedTuple):
    """What became of a head: whether it was refused, or the head, and how many bytes stand behind it."""

    refused: bool
    head: Optional[ResponseHead] = None
    rest: bytes = b""


def read(pieces: Sequence[bytes], operation: str = "GET", reader: Optional[ResponseReader] = None) -> Read:
    reader = ResponseReader() if reader is None else reader
    data = bytearray()
    try:
        for number, piece in enumerate(pieces):
            looked = len(data)
            data += piece
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                rest = bytes(data[end + 4 :]) + b"".join(pieces[number + 1 :])
                return Read(False, reader.read(bytes(data[:end]), operation), rest)
            reader.check_partial(data, looked)
    except HttpError as error:
        assert error.text
        return Read(True)
    return Read(False)


def response(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def accepted(data: bytes, operation: str = "GET") -> ResponseHead:
    found = read([data], operation)
    assert found.head is not None
    return found.head


# --- where a body ends (RFC 9112 section 6.3)

LENGTH = b"Content-Length: 5"
CHUNKS = b"Transfer-Encoding: chunked"
CLOSE = b"Connection: close"


@pytest.mark.parametrize(
    ("status", "operation", "lines", "length", "keep"),
    [
        (200, "GET", [LENGTH], 5, True),
        (200, "GET", [b"Content-Length: 0"], 0, True),
        (200, "GET", [LENGTH, CLOSE], 5, False),
        (200, "GET", [CHUNKS], CHUNKED, True),
        (200, "GET", [CHUNKS, CLOSE], CHUNKED, False),
        (200, "GET", [], UNTIL_CLOSE, False),
        (404, "POST", [b"Connection: keep-alive"], UNTIL_CLOSE, False),
        (200, "HEAD", [LENGTH], NO_BODY, True),
        (200, "HEAD", [CHUNKS], NO_BODY, True),
        (200, "HEAD", [], NO_BODY, True),
        (200, "HEAD", [LENGTH, CLOSE], NO_BODY, False),
        (304, "GET", [LENGTH], NO_BODY, True),
        (304, "GET", [CHUNKS], NO_BODY, True),
        (304, "GET", [], NO_BODY, True),
        (204, "GET", [], NO_BODY, True),
        (204, "GET", [b"Content-Length: 0"], NO_BODY, True),
        # What they say of a body that cannot be there makes the connection one to be careful with.
        (204, "GET", [LENGTH], NO_BODY, False),
        (204, "GET", [CHUNKS], NO_BODY, False),
        (100, "GET", [LENGTH], NO_BODY, False),
    ],
)
def test_where_a_body_ends(status: int, operation: str, lines: list[bytes], length: int, keep: bool) -> None:
    head = accepted(response(*lines, first=b"HTTP/1.1 %d X" % status), operation)
    assert (head[2], head[3]) == (length, keep)


@pytest.mark.parametrize(
    ("lines", "length", "keep"),
    [
        ([LENGTH], 5, False),
        ([LENGTH, b"Connection: keep-alive"], 5, True),
        ([LENGTH, b"Connection: keep-alive, close"], 5, False),
        ([b"Connection: keep-alive"], UNTIL_CLOSE, False),
    ],
)
def test_http_1_0_keeps_a_connection_only_when_it_says_so(lines: list[bytes], length: int, keep: bool) -> None:
    head = accepted(response(*lines, first=b"HTTP/1.0 200 OK"))
    assert (head[2], head[3]) == (length, keep)


@pytest.mark.parametrize(
    ("status", "operation", "told"), [(200, "HEAD", True), (304, "GET", True), (204, "GET", False)]
)
def test_the_length_of_a_body_that_is_not_sent_is_information(status: int, operation: str, told: bool) -> None:
    head = accepted(response(b"Content-Length: 007", first=b"HTTP/1.1 %d X" % status), operation)
    assert ((b"content-length", b"7", b"content-length: 7", sorts.LENGTH) in head[1]) is told


def test_what_a_status_line_says() -> None:
    assert accepted(response(LENGTH, first=b"HTTP/1.1 404 Not  Found "))[0][:3] == (1, 404, b"Not  Found ")
    assert accepted(response(LENGTH, first=b"HTTP/1.0 200"))[0][:3] == (0, 200, b"")


def test_fields_of_this_hop_are_not_handed_on() -> None:
    head = accepted(
        response(LENGTH, b"Connection: x, Y", b"X: 1", b"y: 2", b"Keep-Alive: a", b"Proxy-Authenticate: Basic", b"Z: 3")
    )
    assert [each[0] for each in head[1]] == [b"z"]


@pytest.mark.parametrize(
    ("lines", "protocol"),
    [
        ([b"Connection: upgrade", b"Upgrade: WebSocket"], b"websocket"),
        ([b"Connection: keep-alive, Upgrade", b"Upgrade: foo/2"], b"foo/2"),
        ([b"Connection: upgrade"], None),
        ([b"Upgrade: websocket"], None),
        ([b"Connection: upgrade", b"Upgrade: a, b"], None),
        ([b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b"], None),
        ([b"Connection: upgrade", b"Upgrade: ,"], None),
    ],
)
def test_a_101_names_one_protocol(lines: list[bytes], protocol: Optional[bytes]) -> None:
    found = read([response(*lines, first=b"HTTP/1.1 101 Switching Protocols")])
    assert found.refused is (protocol is None)
    assert found.head is None or found.head[4] == protocol


def test_only_a_101_upgrades() -> None:
    head = accepted(response(LENGTH, b"Connection: upgrade", b"Upgrade: websocket"))
    assert head[4] == b"" and head[1] == []


# --- what is refused


@pytest.mark.parametrize(
    "data",
    [
        response(LENGTH, CHUNKS), response(CHUNKS, LENGTH), response(LENGTH, LENGTH), response(CHUNKS, CHUNKS),
        response(b"Transfer-Encoding: gzip, chunked"), response(b"Content-Length: 5, 5"), response(b"Content-Length: +5"),
        response(CHUNKS, first=b"HTTP/1.0 200 OK"), response(b"X : a"), response(b" X: a"), response(b"X"), response(b"X: \x00"),
        response(b"X: a\nb"), response(first=b"HTTP/2.0 200 OK"), response(first=b"HTTP/1.1 20 OK"), response(first=b"ICY 200 OK"),
        response(first=b"HTTP/1.1 200 O\nK"), response(first=b" HTTP/1.1 200 OK"), b"\r\n" + response(), b"\r\n\r\n",
        response(*[b"X: 1"] * 101), response(b"X: " + b"a" * 62_000),
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes) -> None:
    """Also when each of the lines is known already."""
    reader = ResponseReader()
    for _ in range(3):
        assert read([data], "GET", reader).refused
    assert read([data[:10], data[10:]]).refused


@pytest.mark.parametrize(
    "pieces",
    [
        [b"X"], [b"HTTP/2"], [b"H", b"X"], [b"HTTP/1", b",1 200"], [b"<html>"], [b"HTTP/1.1 200 OK\n"],
        [b"HTTP/1.1 200 OK\r", b"X"], [b"HTTP/1.1 200 OK\r\nX: \x01"], [b"HTTP/1.1 200 OK\r\nX: ", b"a" * 62_000],
    ],
)  # fmt: skip
def test_what_cannot_become_right_is_refused_before_it_is_whole(pieces: list[bytes]) -> None:
    """Or its client would wait for a timeout to hear it."""
    assert read(pieces).refused


def test_a_head_of_exactly_the_limit() -> None:
    reader = ResponseReader(200)
    for size in (200, 201):
        data = response(b"X: " + b"a" * (size - len(response(b"X: ")) + 4))
        found = same_in_any_cut(data, [], lambda pieces: read(pieces, "GET", reader).refused)
        assert found is (size > 200)


def test_status_lines_are_remembered_within_bounds() -> None:
    reader = ResponseReader()
    for number in range(1000):
        assert not read([response(LENGTH, first=b"HTTP/1.1 200 %d" % number)], "GET", reader).refused
    assert len(reader._lines) <= 256


# --- any cut, and llhttp

HEADS = st.one_of(response_heads(), spoilt(response_heads()))
OPERATIONS = st.sampled_from(["GET", "GET", "HEAD", "POST"])


@given(HEADS, PLACES, OPERATIONS)
def test_a_head_says_the_same_in_any_cut(data: bytes, places: list[int], operation: str) -> None:
    same_in_any_cut(data, places, lambda pieces: read(pieces, operation))


@given(HEADS, st.binary(max_size=8))
def test_llhttp_reads_every_head_that_we_accept_in_the_same_way(data: bytes, body: bytes) -> None:
    """The same status, reason, fields and body; and what it refuses, we refuse."""
    found = read([data])
    if found.head is None:
        return
    line, fields, length, keep, upgrade, _ = found.head
    if length > 1000:
        return
    raw = data[: len(data) - len(found.rest)]
    if length == CHUNKED:
        body = body or b"x"
        raw += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif length == UNTIL_CLOSE:
        raw += body
    else:
        body = body[:length].ljust(length, b".")
        raw += body
    heard = hear_responses(raw)
    if line.status in (100, 103, 204, 304) and not body and heard.messages:
        # llhttp counts a body of those that say so; RFC 9112 section 6.3 says that there is none.
        heard.first.complete = heard.first.complete or heard.first.headed
    assert not heard.error or (heard.first.headed and line.status in (100, 101, 103, 204, 304)), heard.error
    first = heard.first
    assert (first.status, first.reason, first.version) == (line.status, line.reason, f"1.{line.minor}")
    told = [each for each in fields if each[0] != b"content-length"]
    assert ours(told) == ours_of(first.fields, fields)
    if not heard.upgraded and not upgrade:
        assert first.body == body
        assert first.complete or length == UNTIL_CLOSE
    if length == UNTIL_CLOSE:
        assert not keep


def test_a_long_reason_is_not_remembered() -> None:
    reader = ResponseReader()
    for long in (b"", b"x" * 10_000):
        head = b"HTTP/1.1 200 " + long
        assert (reader.read(head, "GET")[0] is reader.read(head, "GET")[0]) is not bool(long)
