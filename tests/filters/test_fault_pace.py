"""Bodies that are let through slowly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bodies import Producer, Receiver
from tests.filters.drive import Run, Script, a_call
from tests.filters.test_fault import World
from twisted_mesh.call import Reply
from twisted_mesh.chain import compose
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream


class Taken(Receiver):
    """Receives a body from the start."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        assert isinstance(body, ByteStream)
        self.stream = body
        body.attach(self)


class Source(Producer):
    """Produces a body."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = ByteStream(self)


def answering(world: World, body: Any, call: Any = None) -> Run:
    return Run(compose([world.filter], Script(lambda call: Reply(200, Headers(), body))), call or a_call())


def test_a_reply_is_slowed_down() -> None:
    world, call = World(bandwidth={"rate": 1000}), a_call()
    reply = answering(world, b"x" * 500, call).reply
    assert isinstance(reply.body, ByteStream) and reply.body.length == 500
    taken = Taken(reply.body)
    assert len(taken.data) == 50
    for _ in range(4):
        world.env.clock.advance(0.05)
    assert len(taken.data) == 250 and not taken.ended
    for _ in range(10):
        world.env.clock.advance(0.05)
    assert (len(taken.data), taken.trailers) == (500, ())
    assert world.count("bandwidth") == 1
    call.complete(0.0, pytest.fail)
    assert world.env.clock.getDelayedCalls() == []
    assert repr(world.filter) == "<Fault 0 held up>"


def test_a_stream_that_is_slowed_down_holds_its_producer_back() -> None:
    world, source = World(bandwidth={"rate": "1MiB"}), Source()
    taken = Taken(answering(world, source.stream).reply.body)
    source.stream.write(b"x" * 200_000)
    assert source.told == ["pause"]
    for _ in range(3):
        world.env.clock.advance(0.05)
    assert source.told == ["pause", "resume"]
    source.stream.end([(b"x-sum", b"1")])
    for _ in range(2):
        world.env.clock.advance(0.05)
    assert (len(taken.data), taken.trailers) == (200_000, [(b"x-sum", b"1")])
    assert world.env.clock.getDelayedCalls() == []


def test_a_receiver_that_pauses_gets_nothing_more() -> None:
    world = World(bandwidth={"rate": 1000})
    taken = Taken(answering(world, b"x" * 500).reply.body)
    taken.stream.pause()
    before = len(taken.data)
    for _ in range(40):
        world.env.clock.advance(0.05)
    assert len(taken.data) == before
    taken.stream.resume()
    for _ in range(40):
        world.env.clock.advance(0.05)
    assert (len(taken.data), taken.trailers) == (500, ())


def test_a_slow_body_ends_with_what_it_comes_from() -> None:
    world, source = World(bandwidth={"rate": 1000}), Source()
    taken = Taken(answering(world, source.stream).reply.body)
    source.stream.write(b"x" * 500)
    broken = OSError("gone")
    source.stream.fail(broken)
    assert taken.error is broken
    assert world.env.clock.getDelayedCalls() == []


def test_a_slow_body_that_nobody_wants_stops() -> None:
    world, source, call = World(bandwidth={"rate": 1000}), Source(), a_call()
    reply = answering(world, source.stream, call).reply
    source.stream.write(b"x" * 500)
    reply.discard()
    assert source.told == ["stop"]
    call.complete(0.0, pytest.fail)
    assert world.env.clock.getDelayedCalls() == []


def test_a_request_is_slowed_down() -> None:
    world, call = World(bandwidth={"rate": 1000, "direction": "request"}), a_call("POST", b"x" * 100)
    assert answering(world, b"whole", call).reply.body == b"whole"
    taken = Taken(call.body)
    for _ in range(2):
        world.env.clock.advance(0.05)
    assert (len(taken.data), taken.trailers) == (100, ())


def test_bodies_that_are_empty_stay_so() -> None:
    world, call = World(bandwidth={"rate": 1, "direction": "both"}), a_call()
    assert answering(world, b"", call).reply.body == b""
    assert call.body == b""


def test_what_is_slow_counts_as_held_up() -> None:
    world, calls = World(bandwidth={"rate": 1}, max_active=1), [a_call(), a_call(), a_call()]
    assert isinstance(answering(world, b"xy", calls[0]).reply.body, ByteStream)
    assert answering(world, b"xy", calls[1]).reply.body == b"xy"
    calls[0].complete(0.0, pytest.fail)
    assert isinstance(answering(world, b"xy", calls[2]).reply.body, ByteStream)
    assert (world.count("bandwidth"), world.count("skipped")) == (2, 1)
