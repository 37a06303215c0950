"""Long answers in pieces: with pauses, as fast as they are taken, cut when they fail."""

from __future__ import annotations

from typing import Iterator

from twisted.internet.task import Clock

from twisted_mesh.server.pieces import PAUSE, Pieces
from twisted_mesh.stream import BUFFER_LIMIT, Trailers


class Receiver:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.ended = False
        self.failed: list[BaseException] = []

    def body_data(self, data: bytes) -> None:
        self.got.append(data)

    def body_ended(self, trailers: Trailers) -> None:
        self.ended = True

    def body_failed(self, error: BaseException) -> None:
        self.failed.append(error)


def test_one_piece_at_a_time() -> None:
    clock, receiver = Clock(), Receiver()
    pieces = Pieces(iter([b"a", b"b"]), clock)
    pieces.stream.attach(receiver)
    assert receiver.got == []
    clock.advance(PAUSE)
    assert receiver.got == [b"a"]
    clock.pump([PAUSE, PAUSE])
    assert (receiver.got, receiver.ended) == ([b"a", b"b"], True)
    assert clock.getDelayedCalls() == []


def test_a_slow_receiver_holds_it_up() -> None:
    clock, receiver = Clock(), Receiver()
    made: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            made.append(1)
            yield b"x" * (BUFFER_LIMIT // 2)

    pieces = Pieces(endless(), clock)
    pieces.stream.attach(receiver)
    clock.advance(PAUSE)
    pieces.stream.pause()
    clock.pump([PAUSE] * 10)
    assert len(made) == 1
    assert clock.getDelayedCalls() == []
    pieces.stream.resume()
    clock.pump([PAUSE, PAUSE])
    assert len(made) > 1
    pieces.stream.cancel()
    assert clock.getDelayedCalls() == []


def test_nobody_there_yet_is_bounded_too() -> None:
    clock = Clock()
    pieces = Pieces(iter([b"x" * BUFFER_LIMIT] * 10), clock)
    clock.pump([PAUSE] * 20)
    assert pieces.stream.size == BUFFER_LIMIT
    receiver = Receiver()
    pieces.stream.attach(receiver)
    clock.pump([PAUSE] * 20)
    assert receiver.ended
    assert sum(map(len, receiver.got)) == 10 * BUFFER_LIMIT


def test_a_failure_cuts_the_answer() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("broken")

    clock, receiver = Clock(), Receiver()
    Pieces(broken(), clock).stream.attach(receiver)
    clock.pump([PAUSE, PAUSE])
    assert receiver.got == [b"a"]
    assert [str(each) for each in receiver.failed] == ["broken"]
    assert clock.getDelayedCalls() == []
