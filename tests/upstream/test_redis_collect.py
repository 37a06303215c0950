"""Large replies that are kept whole."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.stream import ByteStream, Trailers
from twisted_mesh.upstream.redis_collect import Collect, Look, Room


class Producer:
    def pauseProducing(self) -> None:
        """It may go on."""

    def resumeProducing(self) -> None:
        """It does."""

    def stopProducing(self) -> None:
        """It has."""


@pytest.fixture
def stream() -> ByteStream:
    return ByteStream(Producer())


def fail(*what: object) -> None:
    raise AssertionError(what)


def test_all_pieces_are_one(stream: ByteStream) -> None:
    whole: list[bytes] = []
    stream.write(b"a" * 100)
    Collect(stream, Room(), whole.append, fail)
    stream.write(b"b" * 100)
    assert whole == []
    stream.end()
    assert whole == [b"a" * 100 + b"b" * 100]


def test_what_breaks_off_fails(stream: ByteStream) -> None:
    errors: list[MeshError] = []
    Collect(stream, Room(), fail, errors.append)
    stream.write(b"a")
    stream.fail(MeshError(Kind.CLOSED, "gone"))
    assert [each.kind for each in errors] == [Kind.CLOSED]


def test_there_is_a_bound_for_all_servers_together(stream: ByteStream) -> None:
    errors: list[MeshError] = []
    whole: list[bytes] = []
    room, other = Room(10), ByteStream(Producer())
    Collect(stream, room, fail, errors.append)
    Collect(other, room, whole.append, fail)
    other.write(b"b" * 5)
    stream.write(b"a" * 6)
    assert [each.kind for each in errors] == [Kind.TOO_LARGE]
    # What was dropped takes no room from the others.
    other.write(b"b" * 5)
    other.end()
    assert whole == [b"b" * 10]


class Reader:
    """Takes what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.end: object = None

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_ended(self, trailers: Trailers) -> None:
        self.end = "ended"

    def body_failed(self, error: BaseException) -> None:
        self.end = error


def test_what_is_not_too_long_is_looked_at(stream: ByteStream) -> None:
    whole: list[bytes] = []
    Look(stream, whole.append, fail, fail)
    stream.write(b"a")
    stream.write(b"b")
    stream.end()
    assert whole == [b"ab"]


def test_what_breaks_off_while_it_is_looked_at_fails(stream: ByteStream) -> None:
    errors: list[MeshError] = []
    Look(stream, fail, errors.append, fail)
    stream.write(b"a")
    stream.fail(Cancelled(Kind.CLIENT_GONE))
    assert [each.kind for each in errors] == [Kind.RESET]


@pytest.mark.parametrize("well", [True, False])
def test_what_is_too_long_is_passed_on(stream: ByteStream, well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.upstream.redis_collect.MOST", 3)
    longer: list[ByteStream] = []
    Look(stream, fail, fail, longer.append)
    stream.write(b"ab")
    assert longer == []
    stream.write(b"cd")
    reader = Reader()
    longer[0].attach(reader)
    stream.write(b"ef")
    longer[0].pause()
    stream.write(b"gh")
    assert reader.data == b"abcdef"
    longer[0].resume()
    lost = MeshError(Kind.CLOSED, "gone")
    stream.end() if well else stream.fail(lost)
    assert reader.data == b"abcdefgh"
    assert reader.end == ("ended" if well else lost)


def test_who_does_not_want_the_rest_ends_it(stream: ByteStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.upstream.redis_collect.MOST", 3)
    longer: list[ByteStream] = []
    Look(stream, fail, fail, longer.append)
    stream.write(b"abcd")
    longer[0].cancel()
    assert stream.cancelled
