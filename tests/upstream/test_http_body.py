"""Bodies on the upstream side."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.response import CHUNKED, UNTIL_CLOSE
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.http_body import ReplyBody, Sending


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.said: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")


class Connection:
    """Notes what its bodies tell it."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.told: list[Any] = []

    def sent(self, sending: Any) -> None:
        self.told.append("sent")

    def cut(self, sending: Any, error: BaseException) -> None:
        self.told.append(error)

    def abort(self) -> None:
        self.told.append("abort")


def sending(stream: ByteStream) -> tuple[Sending, Connection]:
    connection = Connection()
    made = Sending(connection, stream)  # type: ignore[arg-type]
    made.start()
    return made, connection


def test_a_counted_body_goes_out_as_it_is() -> None:
    stream = ByteStream(length=4)
    _, connection = sending(stream)
    stream.write(b"ab")
    stream.write(b"cd")
    stream.end()
    assert connection.transport.written == b"abcd" and connection.told == ["sent"]


def test_an_uncounted_body_goes_out_in_chunks_with_its_trailers() -> None:
    stream = ByteStream()
    _, connection = sending(stream)
    stream.write(b"ab")
    stream.end([(b"x", b"1")])
    assert connection.transport.written == b"2\r\nab\r\n0\r\nx: 1\r\n\r\n" and connection.told == ["sent"]


@pytest.mark.parametrize("data", [b"", b"abc", b"abcdef"])
def test_a_body_that_is_not_as_long_as_it_said_is_cut(data: bytes) -> None:
    """A filter made it; or the next request would be taken for a part of it, or the other way round."""
    stream = ByteStream(length=4)
    _, connection = sending(stream)
    stream.write(data)
    stream.end()
    [error] = connection.told
    assert isinstance(error, MeshError) and error.kind is Kind.INTERNAL


def test_a_cut_body_is_told_of_and_never_completed() -> None:
    stream = ByteStream()
    _, connection = sending(stream)
    error = MeshError(Kind.CLIENT_GONE)
    stream.fail(error)
    assert connection.told == [error] and connection.transport.written == b""


def test_a_stopped_body_sends_no_more_and_can_be_sent_again() -> None:
    stream = ByteStream(replay=True)
    first, connection = sending(stream)
    stream.write(b"ab")
    first.stop()
    stream.write(b"cd")
    stream.end()
    assert connection.transport.written == b"2\r\nab\r\n" and connection.told == []
    stream.rewind()
    _, other = sending(stream)
    assert other.transport.written == b"4\r\nabcd\r\n0\r\n\r\n" and other.told == ["sent"]


def test_the_transport_paces_the_body() -> None:
    stream = ByteStream(length=4)
    body, connection = sending(stream)
    body.pauseProducing()
    stream.write(b"ab")
    assert connection.transport.written == b""
    body.resumeProducing()
    assert connection.transport.written == b"ab"


@pytest.mark.parametrize(
    ("length", "data", "rest", "done"),
    [
        (4, b"abcd", b"", True),
        (4, b"abcdEF", b"EF", True),
        (4, b"ab", b"", False),
        (CHUNKED, b"2\r\nab\r\n0\r\n\r\nEF", b"EF", True),
        (CHUNKED, b"2\r\nab\r\n", b"", False),
        (UNTIL_CLOSE, b"abcd", b"", False),
    ],
)
def test_reading(length: int, data: bytes, rest: bytes, done: bool) -> None:
    """A body ends where its framing says; what stands behind it is given back."""
    body = ReplyBody(Connection(), length)  # type: ignore[arg-type]
    assert body.feed(data) == rest
    assert body.done is done
    assert body.until_close is (length == UNTIL_CLOSE)
    assert body.stream.length == (length if length >= 0 else None)


def test_reading_broken_chunks() -> None:
    body = ReplyBody(Connection(), CHUNKED)  # type: ignore[arg-type]
    with pytest.raises(HttpError):
        body.feed(b"zz\r\n")


def test_the_reader_paces_the_connection() -> None:
    connection = Connection()
    body = ReplyBody(connection, 10)  # type: ignore[arg-type]
    body.pauseProducing()
    body.resumeProducing()
    assert connection.transport.said == ["pause", "resume"]
    body.stream.cancel()
    assert connection.told == ["abort"]
