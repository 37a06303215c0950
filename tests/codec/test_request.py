"""Request heads: what they say, what is refused, and that llhttp never reads them in another way."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, same_in_any_cut
from tests.codec.heads import request_heads, spoilt
from tests.codec.peer import Heard, hear_requests
from twisted_mesh.codec import lines as sorts
from twisted_mesh.codec.chunked import ChunkDecoder
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.request import CHUNKED, RequestHead, RequestReader
from twisted_mesh.codec.target import Normalise


class Read(NamedTuple):
    """What became of a head: the status of its refusal (0: none) or the head, and how many bytes stand behind it."""

    status: int
    head: Optional[RequestHead] = None
    rest: bytes = b""


WAITING = Read(-1)


def read(pieces: Sequence[bytes], reader: Optional[RequestReader] = None) -> Read:
    """Read one head as a connection does: whole if it came so, else looked at as it grows."""
    reader = RequestReader() if reader is None else reader
    data = bytearray()
    try:
        for number, piece in enumerate(pieces):
            looked = len(data)
            data += piece
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                rest = bytes(data[end + 4 :]) + b"".join(pieces[number + 1 :])
                return Read(0, reader.read(bytes(data[:end])), rest)
            reader.check_partial(data, looked)
    except HttpError as error:
        assert error.text
        return Read(error.status)
    return WAITING


def accepted(data: bytes) -> RequestHead:
    found = read([data])
    assert found.head is not None, found.status
    return found.head


def refusal(data: bytes, reader: Optional[RequestReader] = None) -> int:
    return read([data], reader).status


def request(*lines: bytes, first: bytes = b"GET /a HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def names(head: RequestHead) -> list[bytes]:
    return [each[0] for each in head[1]]


# --- what a head says


def test_a_plain_head() -> None:
    line, fields, host, length, seen, upgrade = accepted(request(b"Host: a:1", b"X-One:  1 ", b"Accept: */*"))
    assert (line.operation, line.path) == ("GET", "/a")
    assert [each[2] for each in fields] == [b"Host: a:1", b"X-One: 1", b"Accept: */*"]
    assert host is fields[0]
    assert (length, seen, upgrade) == (0, sorts.HOST, "")


def test_framing_and_hop_by_hop_fields_are_not_handed_on() -> None:
    """RFC 9110 section 7.6.1, those that Connection names, and those that are older than it."""
    head = accepted(
        request(
            b"Host: a", b"Connection: close, x-one, X-Two", b"X-One: 1", b"x-two: 2", b"X-Three: 3", b"Keep-Alive: max=1",
            b"Proxy-Connection: close", b"Proxy-Authorization: Basic eA==", b"TE: trailers", b"Upgrade: x", b"Content-Length: 3",
        )
    )  # fmt: skip
    assert names(head) == [b"host", b"x-three"]
    assert head[3] == 3
    assert head[4] & sorts.CLOSE and not head[4] & sorts.KEEP


def test_a_connection_field_cannot_strip_what_others_rely_on() -> None:
    head = accepted(
        request(
            b"Host: a", b"Connection: x, cookie, host, x-forwarded-for", b"Cookie: c", b"X-Forwarded-For: b", b"X: 1"
        )
    )
    assert names(head) == [b"host", b"cookie", b"x-forwarded-for"]


def test_several_connection_fields_count_together() -> None:
    head = accepted(request(b"Host: a", b"Connection: x", b"connection: y, close", b"X: 1", b"Y: 2"))
    assert names(head) == [b"host"]
    assert head[4] & sorts.CLOSE


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 0042"], 42),
        ([b"Content-Length: 999999999999999999"], 999999999999999999),
        ([b"Transfer-Encoding: CHUNKED"], CHUNKED),
        ([], 0),
    ],
)
def test_lengths(lines: list[bytes], length: int) -> None:
    assert accepted(request(b"Host: a", *lines, first=b"POST / HTTP/1.1"))[3] == length


def test_http_1_0_needs_no_host() -> None:
    head = accepted(request(b"X: 1", first=b"GET / HTTP/1.0"))
    assert head[2] is None
    assert head[0].minor == 0


def test_an_absolute_target_stands_in_for_the_host_of_http_1_0() -> None:
    head = accepted(request(b"X: 1", first=b"GET http://a.example/b HTTP/1.0"))
    assert head[2] is not None and head[2][2] == b"Host: a.example"
    assert names(head) == [b"host", b"x"]


def test_an_absolute_target_must_name_the_host() -> None:
    assert accepted(request(b"Host: A.example", first=b"GET http://a.EXAMPLE/b HTTP/1.1"))[0].path == "/b"
    assert refusal(request(b"Host: b", first=b"GET http://a/ HTTP/1.1")) == 400
    assert refusal(request(b"Host: a:80", first=b"GET http://a/ HTTP/1.1")) == 400


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        ([b"Connection: upgrade", b"Upgrade: websocket"], "websocket"),
        ([b"Connection: keep-alive, Upgrade", b"Upgrade: foo/2 , bar"], "foo/2, bar"),
        ([b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b"], "a, b"),
        ([b"Upgrade: websocket"], ""),
        ([b"Connection: upgrade"], ""),
        ([b"Connection: close", b"Upgrade: websocket"], ""),
        ([b"Connection: upgrade", b"Upgrade: h2c"], ""),
        ([b"Connection: upgrade", b"Upgrade: H2C, websocket, h2"], "websocket"),
        ([b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 1"], ""),
        ([b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"], ""),
        ([b"Connection: upgrade", b"Upgrade:"], ""),
    ],
)
def test_upgrades(lines: list[bytes], upgrade: str) -> None:
    """Only a GET without a body may be upgraded, never to HTTP/2: requests would pass by every rule."""
    assert accepted(request(b"Host: a", *lines))[5] == upgrade
    assert accepted(request(b"Host: a", *lines, first=b"POST / HTTP/1.1"))[5] == ""
    if b"Transfer-Encoding: chunked" not in lines:
        assert accepted(request(b"Host: a", *lines, first=b"GET / HTTP/1.0"))[5] == ""


def test_expectations() -> None:
    """RFC 9110 section 10.1.1: there is one, and HTTP/1.0 has none."""
    assert b"expect" in names(accepted(request(b"Host: a", b"Expect: 100-Continue")))
    assert refusal(request(b"Host: a", b"Expect: more")) == 417
    assert names(accepted(request(b"Host: a", b"Expect: more", first=b"GET / HTTP/1.0"))) == [b"host"]


@pytest.mark.parametrize(
    "lines",
    [
        [], [b"Host: a", b"Host: a"], [b"Host: a b"], [b"Host: a,b"], [b"Host:"], [b"Host: a", b"X : 1"], [b"Host: a", b" X: 1"],
        [b"Host: a", b"Content-Length: 1", b"Content-Length: 1"], [b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"],
        [b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 0"], [b"Host: a", b"X: a\nY: b"],
        [b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], [b"Host: a", b"Transfer-Encoding: gzip"],
    ],
)  # fmt: skip
def test_what_is_refused(lines: list[bytes]) -> None:
    """Also when each of the lines is known already."""
    reader = RequestReader()
    for _ in range(3):
        assert refusal(request(*lines, first=b"POST / HTTP/1.1"), reader) == 400


def test_chunked_is_refused_in_http_1_0() -> None:
    assert refusal(request(b"Host: a", b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0")) == 400


# --- bounds


def test_bounds_of_a_head() -> None:
    """Each is met exactly, whether the head comes whole or a byte at a time."""
    reader = RequestReader(Normalise(), 1000, 100, 5)
    for lines, first, status in (
        ([b"X: " + b"x" * (1000 - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: "))], b"GET / HTTP/1.1", 0),
        ([b"X: " + b"x" * (1001 - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: "))], b"GET / HTTP/1.1", 431),
        ([b"X%d: 1" % number for number in range(4)], b"GET / HTTP/1.1", 0),
        ([b"X%d: 1" % number for number in range(5)], b"GET / HTTP/1.1", 431),
        ([], b"GET /" + b"a" * 99 + b" HTTP/1.1", 0),
        ([], b"GET /" + b"a" * 100 + b" HTTP/1.1", 414),
        ([], b"GET /" + b"a" * 400 + b" HTTP/1.1", 414),
        ([], b"G" * 53 + b" /" + b"a" * 99 + b" HTTP/1.1", 0),
        ([], b"G" * 54 + b" /" + b"a" * 99 + b" HTTP/1.1", 414),
        ([], b"G" * 400 + b" / HTTP/1.1", 400),
    ):
        data = request(b"Host: a", *lines, first=first)
        assert same_in_any_cut(data, [], lambda pieces: read(pieces, reader).status) == status, first


def test_a_line_that_is_known_counts_like_any_other() -> None:
    reader = RequestReader(Normalise(), 60_000, 8000, 100)
    for _ in range(2):
        assert refusal(request(b"Host: a", *[b"X: 1"] * 100), reader) == 431


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\rb", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\x00", 400),
        (b"GET /a HTTP/2.0\r\n", 505),
        (b"GET  /a HTTP/1.1\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n", 405),
        (b"\x16\x03\x01", 400),
        (b"GET /a\n", 400),
        (b"A" * 9000, 400),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET /a HTTP/1.1\r\n" + b"a" * 62_000, 431),
    ],
)
def test_what_cannot_become_right_is_refused_before_it_is_whole(start: bytes, status: int) -> None:
    """Or its sender would wait for a timeout to hear it."""
    assert read([start]).status == status
    assert read([start[:3], start[3:]]).status == status


def test_lines_are_remembered_within_bounds() -> None:
    reader = RequestReader()
    for number in range(3000):
        assert refusal(request(b"Host: a%d" % number, first=b"GET /%d HTTP/1.1" % number), reader) == 0
    assert len(reader._lines) <= 1024
    long = request(b"Host: a", first=b"GET /" + b"a" * 2000 + b" HTTP/1.1")
    before = len(reader._lines)
    assert refusal(long, reader) == 0
    assert len(reader._lines) == before


def test_a_reader_with_other_rules_for_paths() -> None:
    reader = RequestReader(Normalise(escaped_slashes="reject"))
    assert refusal(request(b"Host: a", first=b"GET /a%2fb HTTP/1.1"), reader) == 400
    assert accepted(request(b"Host: a", first=b"GET /a%2fb HTTP/1.1"))[0].path == "/a%2fb"


# --- any cut, and llhttp

HEADS = st.one_of(request_heads(), spoilt(request_heads()))


@given(HEADS, PLACES)
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n", [])
def test_a_head_says_the_same_in_any_cut(data: bytes, places: list[int]) -> None:
    """Or is refused in all of them, though perhaps for another of the things that are wrong with it."""

    def judged(pieces: Sequence[bytes]) -> object:
        found = read(pieces)
        return "refused" if found.status > 0 else found

    same_in_any_cut(data, places, judged)


# What llhttp refuses and we accept, by what it says, and why.
LENIENT = {
    "HttpParserInvalidMethodError": "RFC 9110 section 9.1 lets anyone add a method",
    "HttpParserInvalidURLError": "bytes over 127 in a target: they are sent on escaped",
}


@given(HEADS, st.binary(max_size=8))
def test_llhttp_reads_every_head_that_we_accept_in_the_same_way(data: bytes, body: bytes) -> None:
    """The same method, target, version, fields and body; and what it refuses, we refuse."""
    found = read([data])
    if found.head is None:
        return
    line, fields, _, length, seen, upgrade = found.head
    raw = data[: len(data) - len(found.rest)]
    if length == CHUNKED:
        raw += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif length:
        body = (body * 200)[:length].ljust(length, b".") if length < 1000 else b""
        raw += body
    else:
        body = b""
    if length >= 1000:
        return
    heard = hear_requests(raw)
    if heard.error:
        assert heard.error.partition(":")[0] in LENIENT, heard.error
        return
    first = heard.first
    start = raw.lstrip(b"\r\n").split(b"\r\n", 1)[0]
    assert b"%b %b HTTP/%b" % (first.method, first.target, first.version.encode()) == start
    assert (first.method.decode(), first.version) == (line.operation, f"1.{line.minor}")
    if line.authority and not any(name == b"host" for name, _ in first.fields):
        # An absolute target of HTTP/1.0 stands in for the Host.
        assert ours([fields.pop(0)]) == [(b"host", line.authority)]
    assert ours(fields) == ours_of(first.fields, fields)
    framing = {name: value for name, value in first.fields if name in (b"content-length", b"transfer-encoding")}
    assert bool(framing) == bool(seen & (sorts.LENGTH | sorts.CODING))
    assert heard.upgraded or first.complete
    if not heard.upgraded:
        assert first.body == body
        assert len(heard.messages) == 1
        assert not upgrade


def ours(fields: Sequence[sorts.Field]) -> list[tuple[bytes, bytes]]:
    return [(each[0], each[1]) for each in fields]


def ours_of(heard: list[tuple[bytes, bytes]], fields: Sequence[sorts.Field]) -> list[tuple[bytes, bytes]]:
    """What llhttp heard, less the fields that end at this hop."""
    dropped = {
        b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"keep-alive", b"proxy-connection",
        b"proxy-authenticate", b"proxy-authorization", b"http2-settings",
    }  # fmt: skip
    named = {each.strip().lower() for name, value in heard if name == b"connection" for each in value.split(b",")}
    named -= {b"host", b"via", b"x-forwarded-for", b"x-request-id", b"expect"}
    kept = [pair for pair in heard if pair[0] not in dropped | named]
    if not any(each[0] == b"expect" for each in fields):
        kept = [pair for pair in kept if pair[0] != b"expect"]
    return kept


@given(HEADS)
def test_what_is_sent_on_is_read_in_the_same_way(data: bytes) -> None:
    """A head that we write from what we read says the same to llhttp and to us."""
    found = read([data])
    if found.head is None:
        return
    line, fields, _, _, _, _ = found.head
    sent = b"\r\n".join([line.start, *[each[2] for each in fields], b"", b""])
    if line.minor:
        again = accepted(sent)
        assert ours(again[1]) == ours(fields)
        assert again[0].path == line.path
    heard = hear_requests(sent)
    if not heard.error:
        assert heard.first.fields == ours(fields)
    else:
        assert heard.error.startswith("HttpParserInvalidMethodError"), heard.error
    assert re.fullmatch(rb"[\x20-\x7e\x80-\xff\t\r\n]+", sent)


@given(st.binary(max_size=60), PLACES)
def test_rubbish_is_never_a_head(data: bytes, places: list[int]) -> None:
    found = read([data + b"\r\n\r\n"])
    assert found.status > 0 or found.head is not None
    assert found.status in (0, 400, 405, 414, 431, 505, 417)


def test_a_chunked_body_behind_a_head() -> None:
    """The reader and the decoder together find the same end as llhttp."""
    data = (
        request(b"Host: a", b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.1")
        + b"1\r\na\r\n0\r\nT: t\r\n\r\nGET "
    )
    found = read([data])
    decoder = ChunkDecoder()
    assert decoder.feed(found.rest) == [b"a"]
    assert (decoder.trailers, decoder.rest) == ([(b"T", b"t")], b"GET ")
    heard: Heard = hear_requests(data)
    assert (heard.first.body, heard.first.trailers, heard.first.complete) == (b"a", [(b"t", b"t")], True)


def test_who_speaks_tls_where_it_is_not_spoken_is_told_so() -> None:
    """Its first bytes are those of a handshake record (RFC 8446, 5.1)."""
    hello = bytes.fromhex("16030100c8010000c40303")
    for first in (1, 2, 3, len(hello)):
        reader, data = RequestReader(), bytearray(hello[:first])
        with pytest.raises(HttpError, match="TLS" if first > 1 else "16") as raised:
            reader.check_partial(data, 0)
        assert raised.value.status == 400
    with pytest.raises(HttpError, match="x16"):
        RequestReader().check_partial(bytearray(b"GET /\x16\x03 HTTP/1.1\r\n"), 0)
