"""A body on its way: order, backpressure, bounds, replay, and every way to end."""

from __future__ import annotations

import random
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import Producer
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.stream import BUFFER_LIMIT, REPLAY_LIMIT, ByteStream, Trailers


class FakeReceiver:
    def __init__(self, on_data: Optional[Callable[[bytes], None]] = None) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Any] = []
        self._on_data = on_data

    def body_data(self, data: bytes) -> None:
        assert not self.ends
        self.pieces.append(data)
        if self._on_data is not None:
            self._on_data(data)

    def body_ended(self, trailers: Trailers) -> None:
        self.ends.append(tuple(trailers))

    def body_failed(self, error: BaseException) -> None:
        self.ends.append(error)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def stream(producer: Producer) -> ByteStream:
    return ByteStream(producer)


@pytest.fixture
def receiver() -> FakeReceiver:
    return FakeReceiver()


# --- from one side to the other


def test_pieces_go_straight_to_a_receiver(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.attach(receiver)
    stream.write(b"a")
    stream.write(b"b")
    stream.end([(b"t", b"1")])
    assert receiver.pieces == [b"a", b"b"]
    assert receiver.ends == [((b"t", b"1"),)]
    assert stream.size == 2 and stream.closed


def test_what_came_before_the_receiver_waits_and_comes_in_one_piece(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.write(b"a")
    stream.write(b"b")
    stream.end()
    stream.attach(receiver)
    assert receiver.pieces == [b"ab"]
    assert receiver.ends == [()]


def test_an_empty_body_only_ends(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.attach(receiver)
    stream.end()
    assert (receiver.pieces, receiver.ends) == ([], [()])


def test_a_cut_body_delivers_what_has_waited_and_then_fails(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.write(b"a")
    error = MeshError(Kind.RESET)
    stream.fail(error)
    stream.attach(receiver)
    assert (receiver.data, receiver.ends) == (b"a", [error])


def test_only_the_first_end_counts_and_writes_after_it_are_ignored(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.attach(receiver)
    stream.end()
    stream.fail(MeshError(Kind.RESET))
    stream.end()
    stream.write(b"late")
    assert (receiver.pieces, receiver.ends) == ([], [()])
    assert stream.size == 0


def test_a_second_receiver_takes_over(stream: ByteStream) -> None:
    first, second = FakeReceiver(), FakeReceiver()
    stream.attach(first)
    stream.write(b"a")
    stream.detach()
    stream.write(b"b")
    stream.attach(second)
    stream.end()
    assert (first.data, first.ends) == (b"a", [])
    assert (second.data, second.ends) == (b"b", [()])


def test_the_end_is_told_once_to_whoever_watches(stream: ByteStream) -> None:
    seen: list[ByteStream] = []
    stream.on_end = seen.append
    stream.end()
    stream.fail(MeshError(Kind.RESET))
    stream.cancel()
    assert seen == [stream]


# --- backpressure


def test_a_paused_receiver_pauses_the_producer_and_gets_nothing(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    stream.attach(receiver)
    stream.pause()
    assert producer.told == ["pause"]
    stream.write(b"a")
    stream.write(b"b")
    stream.end()
    assert (receiver.pieces, receiver.ends) == ([], [])
    stream.resume()
    assert (receiver.pieces, receiver.ends) == ([b"ab"], [()])


def test_resuming_resumes_the_producer(stream: ByteStream, producer: Producer, receiver: FakeReceiver) -> None:
    stream.attach(receiver)
    stream.pause()
    stream.pause()
    stream.resume()
    stream.resume()
    assert producer.told == ["pause", "resume"]


def test_a_receiver_that_pauses_in_the_middle_gets_the_rest_later(stream: ByteStream) -> None:
    receiver = FakeReceiver(lambda data: stream.pause())
    stream.attach(receiver)
    stream.write(b"a")
    stream.write(b"b")
    assert receiver.pieces == [b"a"]
    stream.resume()
    assert receiver.pieces == [b"a", b"b"]


def test_without_a_receiver_the_producer_is_paused_at_the_bound(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    stream.write(b"x" * (BUFFER_LIMIT - 1))
    assert producer.told == []
    stream.write(b"x")
    stream.write(b"x")
    assert producer.told == ["pause"]
    stream.attach(receiver)
    assert producer.told == ["pause", "resume"]
    assert len(receiver.data) == BUFFER_LIMIT + 1


def test_a_producer_that_writes_while_it_is_resumed_keeps_the_order() -> None:
    class Eager(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            stream.write(b"c")
            stream.end()

    stream = ByteStream(Eager())
    receiver = FakeReceiver()
    stream.attach(receiver)
    stream.pause()
    stream.write(b"a")
    stream.write(b"b")
    stream.resume()
    assert (receiver.data, receiver.ends) == (b"abc", [()])


def test_an_ended_stream_leaves_its_producer_alone(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    """By then it may be reading the next request of the same connection."""
    stream.write(b"a")
    stream.end()
    stream.attach(receiver)
    stream.pause()
    stream.resume()
    stream.cancel()
    assert producer.told == []


# --- giving up


def test_cancelling_tells_the_producer_once_and_nothing_more_comes(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    stream.attach(receiver)
    stream.cancel()
    stream.cancel()
    stream.write(b"late")
    stream.end()
    assert producer.told == ["stop"]
    assert (receiver.pieces, receiver.ends) == ([], [])
    assert stream.closed and stream.cancelled


def test_whoever_attaches_to_a_cancelled_stream_is_told_instead_of_waiting(
    stream: ByteStream, receiver: FakeReceiver
) -> None:
    stream.cancel()
    stream.attach(receiver)
    assert [type(each) for each in receiver.ends] == [MeshError]


def test_a_complete_body_that_was_dropped_is_never_taken_for_complete(
    stream: ByteStream, receiver: FakeReceiver
) -> None:
    stream.write(b"a")
    stream.end()
    stream.cancel()
    stream.attach(receiver)
    assert [type(each) for each in receiver.ends] == [MeshError]


def test_a_delivered_body_stays_complete_when_it_is_cancelled(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.attach(receiver)
    stream.write(b"a")
    stream.end()
    stream.cancel()
    assert stream.ended and not stream.cancelled


def test_a_receiver_that_cancels_in_the_middle_of_what_has_waited(stream: ByteStream, producer: Producer) -> None:
    stream.write(b"a")
    receiver = FakeReceiver(lambda data: stream.cancel())
    stream.attach(receiver)
    stream.write(b"b")
    assert (receiver.data, receiver.ends) == (b"a", [])
    assert producer.told == ["stop"]


def test_cancelling_a_stream_without_a_producer() -> None:
    stream = ByteStream()
    stream.cancel()
    assert stream.cancelled


# --- replay


def test_a_kept_body_is_delivered_again_from_the_first_byte(producer: Producer) -> None:
    stream = ByteStream(producer, replay=True)
    first, second = FakeReceiver(), FakeReceiver()
    stream.attach(first)
    stream.write(b"a")
    assert stream.replayable
    stream.rewind()
    stream.write(b"b")
    stream.attach(second)
    stream.write(b"c")
    stream.end([(b"t", b"1")])
    assert first.data == b"a"
    assert (second.data, second.ends) == (b"abc", [((b"t", b"1"),)])


def test_an_ended_body_can_be_replayed() -> None:
    stream = ByteStream(replay=True)
    first, second = FakeReceiver(), FakeReceiver()
    stream.attach(first)
    stream.write(b"a")
    stream.end()
    stream.rewind()
    stream.attach(second)
    assert (second.data, second.ends) == (b"a", [()])


def test_what_is_kept_is_bounded() -> None:
    stream = ByteStream(replay=True)
    stream.attach(FakeReceiver())
    stream.write(b"x" * REPLAY_LIMIT)
    assert stream.replayable
    stream.write(b"x")
    assert not stream.replayable
    with pytest.raises(ValueError):
        stream.rewind()


def test_what_was_not_kept_is_not_replayed(stream: ByteStream) -> None:
    assert not stream.replayable
    with pytest.raises(ValueError):
        stream.rewind()


def test_the_replay_buffer_can_be_given_back() -> None:
    stream = ByteStream(replay=True)
    stream.write(b"a")
    stream.stop_keeping()
    assert not stream.replayable


def test_a_cut_or_cancelled_body_is_not_replayed() -> None:
    cut, cancelled = ByteStream(replay=True), ByteStream(replay=True)
    cut.fail(MeshError(Kind.RESET))
    cancelled.cancel()
    assert not cut.replayable
    assert not cancelled.replayable


# --- collect


class Collecting:
    """`collect`, driven as a filter would be."""

    def __init__(self, stream: ByteStream, limit: int = 100) -> None:
        self.results: list[Any] = []

        async def proceed(call: Call) -> Reply:
            return Reply(200, body=await stream.collect(limit))

        self.driver = Driver(Call("http", "edge", "GET", Headers()), self._done)
        self.driver.start(proceed)

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.results.append(error if reply is None else reply.body)


def test_collect_waits_for_the_whole_body(stream: ByteStream) -> None:
    stream.write(b"a")
    collecting = Collecting(stream)
    stream.write(b"b")
    assert collecting.results == []
    stream.end()
    assert collecting.results == [b"ab"]


def test_collect_of_a_body_that_is_there(stream: ByteStream) -> None:
    stream.write(b"a")
    stream.end()
    assert Collecting(stream).results == [b"a"]


def test_collect_leaves_the_body_for_the_next_receiver(stream: ByteStream, receiver: FakeReceiver) -> None:
    """A filter that only looked, or two that did, must not cost the upstream its body."""
    collecting = Collecting(stream)
    stream.write(b"a")
    stream.write(b"b")
    stream.end([(b"t", b"1")])
    assert collecting.results == [b"ab"]
    assert Collecting(stream).results == [b"ab"]
    stream.attach(receiver)
    assert (receiver.data, receiver.ends) == (b"ab", [((b"t", b"1"),)])


def test_a_body_exactly_at_the_limit_is_collected(stream: ByteStream) -> None:
    collecting = Collecting(stream, limit=2)
    stream.write(b"ab")
    stream.end()
    assert collecting.results == [b"ab"]


def test_collect_refuses_what_is_longer_and_stops_the_producer(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    collecting = Collecting(stream, limit=2)
    stream.write(b"ab")
    stream.write(b"c")
    [error] = collecting.results
    assert isinstance(error, MeshError) and error.kind is Kind.TOO_LARGE
    assert producer.told == ["pause"]
    stream.write(b"d")
    stream.attach(receiver)
    assert receiver.data == b"abcd"
    assert producer.told == ["pause", "resume"]


def test_collect_of_a_cut_body_raises_what_cut_it(stream: ByteStream) -> None:
    collecting = Collecting(stream)
    stream.write(b"a")
    error = MeshError(Kind.CLIENT_GONE)
    stream.fail(error)
    assert collecting.results == [error]


def test_collect_of_a_cancelled_body_raises(stream: ByteStream) -> None:
    stream.cancel()
    assert [type(each) for each in Collecting(stream).results] == [MeshError]


def test_a_cancelled_collect_lets_go_of_the_stream(stream: ByteStream, receiver: FakeReceiver) -> None:
    collecting = Collecting(stream)
    stream.write(b"a")
    reason = Cancelled(Kind.CLIENT_GONE)
    collecting.driver.cancel(reason)
    assert collecting.results == [reason]
    stream.attach(receiver)
    assert receiver.data == b"a"


def test_what_is_collected_can_be_replayed() -> None:
    stream = ByteStream(replay=True)
    stream.write(b"ab")
    stream.end()
    assert Collecting(stream).results == [b"ab"]
    for _ in range(2):
        receiver = FakeReceiver()
        stream.rewind()
        stream.attach(receiver)
        assert (receiver.data, receiver.ends) == (b"ab", [()])


# --- map


def test_map_changes_each_piece(stream: ByteStream, receiver: FakeReceiver) -> None:
    stream.write(b"a")
    mapped = stream.map(bytes.upper)
    mapped.attach(receiver)
    stream.write(b"b")
    stream.end([(b"t", b"1")])
    assert (receiver.data, receiver.ends) == (b"AB", [((b"t", b"1"),)])


def test_map_passes_pauses_to_the_producer(stream: ByteStream, producer: Producer, receiver: FakeReceiver) -> None:
    mapped = stream.map(bytes.upper)
    mapped.attach(receiver)
    mapped.pause()
    assert producer.told == ["pause"]
    stream.write(b"a")
    assert receiver.pieces == []
    mapped.resume()
    assert producer.told == ["pause", "resume"]
    assert receiver.data == b"A"


def test_map_holds_no_more_than_the_bound(stream: ByteStream, producer: Producer) -> None:
    stream.map(bytes.upper)
    stream.write(b"x" * BUFFER_LIMIT)
    assert producer.told == ["pause"]


def test_map_passes_failures_on_and_cancels_back(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    error = MeshError(Kind.RESET)
    stream.map(bytes.upper).attach(receiver)
    stream.fail(error)
    assert receiver.ends == [error]
    other_producer = Producer()
    ByteStream(other_producer).map(bytes.upper).cancel()
    assert other_producer.told == ["stop"]


def test_what_a_change_raises_cuts_the_body_and_nothing_else(
    stream: ByteStream, producer: Producer, receiver: FakeReceiver
) -> None:
    def broken(data: bytes) -> bytes:
        raise ValueError("change")

    stream.map(broken).attach(receiver)
    stream.write(b"a")
    stream.write(b"b")
    stream.end()
    assert [type(each) for each in receiver.ends] == [ValueError]
    assert receiver.pieces == []
    assert producer.told == ["stop"]


# --- whatever the order


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_whatever_the_order_every_byte_comes_once_and_in_order(seed: int, keep: bool, mapped: bool) -> None:
    dice = random.Random(seed)
    inner = ByteStream(Producer(), replay=keep)
    outer = inner.map(lambda data: data) if mapped else inner
    sent = b""
    receiver = FakeReceiver()
    got = b""
    for number in range(60):
        verb = dice.choice(["write", "write", "pause", "resume", "attach", "detach"])
        if verb == "write":
            piece = b"%d," % number * dice.randrange(1, 3000)
            sent += piece
            inner.write(piece)
        elif verb == "attach":
            got += receiver.data
            receiver = FakeReceiver()
            outer.attach(receiver)
        else:
            getattr(outer, verb)()
        assert sent.startswith(got + receiver.data)
    inner.end()
    got += receiver.data
    receiver = FakeReceiver()
    outer.attach(receiver)
    assert got + receiver.data == sent
    assert receiver.ends == [()]


def test_the_repr_says_where_it_stands(stream: ByteStream) -> None:
    stream.write(b"abc")
    assert repr(stream) == "<ByteStream open 3 bytes, 3 waiting>"
    stream.end()
    assert repr(stream) == "<ByteStream ended 3 bytes, 3 waiting>"
    assert "cancelled" in repr(_cancelled())
    assert "failed" in repr(_failed())


def _cancelled() -> ByteStream:
    stream = ByteStream()
    stream.cancel()
    return stream


def _failed() -> ByteStream:
    stream = ByteStream()
    stream.fail(MeshError(Kind.RESET))
    return stream
