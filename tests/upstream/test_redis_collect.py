"""Large replies that are kept whole."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream import redis_collect
from twisted_mesh.upstream.redis_collect import Collect


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
    Collect(stream, whole.append, fail)
    stream.write(b"b" * 100)
    assert whole == []
    stream.end()
    assert whole == [b"a" * 100 + b"b" * 100]


def test_what_breaks_off_fails(stream: ByteStream) -> None:
    errors: list[MeshError] = []
    Collect(stream, fail, errors.append)
    stream.write(b"a")
    stream.fail(MeshError(Kind.CLOSED, "gone"))
    assert [each.kind for each in errors] == [Kind.CLOSED]


def test_there_is_a_bound(stream: ByteStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_collect, "BULK_LIMIT", 10)
    errors: list[MeshError] = []
    Collect(stream, fail, errors.append)
    stream.write(b"a" * 11)
    assert [each.kind for each in errors] == [Kind.TOO_LARGE]
