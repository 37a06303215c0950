"""Large replies that are kept whole."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_collect import Collect, Room


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
