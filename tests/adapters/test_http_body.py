"""Request bodies on their way in: framing, limits, and senders that are too slow."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.adapters.http_body import GRACE, SLOWEST_RATE, RequestBody
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.request import CHUNKED
from twisted_mesh.errors import Kind, MeshError


class Connection:
    """A client's connection whose clock the test sets."""

    def __init__(self) -> None:
        self.adapter = self
        self.time = 100.0
        self.said: list[str] = []

    def now(self) -> float:
        return self.time

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")


def body(length: int) -> tuple[RequestBody, Connection]:
    connection = Connection()
    made: Any = connection
    return RequestBody(made, length, connection.time), connection


@pytest.mark.parametrize(
    ("length", "data", "rest", "got"),
    [
        (4, b"abcd", b"", b"abcd"),
        (4, b"abcdGET", b"GET", b"abcd"),
        (CHUNKED, b"4\r\nabcd\r\n0\r\nx: 1\r\n\r\nGET", b"GET", b"abcd"),
    ],
)
def test_a_body_that_ends(length: int, data: bytes, rest: bytes, got: bytes) -> None:
    made, _ = body(length)
    assert made.feed(data) == rest
    assert made.done
    made.end()
    assert made.stream.whole() == got
    assert list(made.stream.trailers) == ([(b"x", b"1")] if length == CHUNKED else [])


def test_a_body_in_pieces() -> None:
    made, _ = body(4)
    assert made.feed(b"ab") == b"" and not made.done
    assert made.feed(b"cd") == b"" and made.done
    assert made.stream.size == made.stream.length == 4


def test_broken_chunks() -> None:
    made, _ = body(CHUNKED)
    with pytest.raises(HttpError):
        made.feed(b"-1\r\n")


def test_the_limit() -> None:
    made, _ = body(CHUNKED)
    made.feed(b"4\r\nabcd\r\n")
    made.check(4)
    with pytest.raises(MeshError) as caught:
        made.check(3)
    assert caught.value.kind is Kind.TOO_LARGE


def test_a_sender_must_keep_up() -> None:
    """After a time of grace, at the slowest rate that is put up with on average."""
    made, connection = body(10_000)
    connection.time += GRACE
    assert not made.too_slow(connection.time)
    connection.time += 10
    assert made.too_slow(connection.time)
    made.feed(b"x" * (10 * SLOWEST_RATE))
    assert not made.too_slow(connection.time)


def test_our_own_pauses_are_not_the_senders() -> None:
    made, connection = body(10_000)
    made.pauseProducing()
    assert made.held
    connection.time += 1000
    assert not made.too_slow(connection.time)
    made.resumeProducing()
    assert not made.held and not made.too_slow(connection.time)
    connection.time += GRACE + 1
    assert made.too_slow(connection.time)
    assert connection.said == ["pause", "resume"]


def test_nobody_wants_the_rest() -> None:
    """It is read and dropped, so that the answer can be sent."""
    made, connection = body(10)
    made.pauseProducing()
    made.stream.cancel()
    assert made.dropping and connection.said == ["pause", "resume"]
    made.feed(b"ab")
    assert made.stream.closed
