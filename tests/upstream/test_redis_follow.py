"""Topologies that servers tell of: when they are asked, and who waits for it."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import OK, RedisWorld, address, body, slots_reply
from twisted_mesh.codec.resp import integer
from twisted_mesh.codec.slots import SLOTS
from twisted_mesh.errors import Kind, MeshError


def test_commands_wait_until_it_is_known_where_to() -> None:
    world = RedisWorld(1, topology="cluster")
    world.start()
    pending = world.call("SET a 1")
    assert world.sent == []
    world.tell(slots_reply((0, SLOTS - 1, 1)))
    (sent,) = world.take()
    sent.reply(OK)
    assert body(pending) == OK


def test_nothing_is_known_and_nobody_answers() -> None:
    world = RedisWorld(1, topology="cluster")
    world.connector.answer[address(1)] = "refuse"
    pending = world.call("SET a 1")
    world.start()
    for _ in range(40):
        world.env.clock.advance(1)
    with pytest.raises(MeshError, match="connection refused") as failed:
        body(pending)
    assert failed.value.kind is Kind.NO_ENDPOINT


def test_tryagain_is_sent_again_when_more_is_known(slots: RedisWorld) -> None:
    pending = slots.call("MSETNX {a}1 x {a}2 y")
    slots.take()[0].reply(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n")
    assert slots.sent == []
    slots.env.clock.advance(1)
    slots.tell(slots_reply((0, SLOTS - 1, 1)))
    slots.take()[0].reply(integer(1))
    assert body(pending) == integer(1)


def test_a_topology_that_is_stopped_keeps_nobody_waiting(slots: RedisWorld) -> None:
    pending = slots.call("MSETNX {a}1 x {a}2 y")
    slots.take()[0].reply(b"-TRYAGAIN wait\r\n")
    slots.topology.stop()
    with pytest.raises(MeshError):
        body(pending)
    late = slots.call("MSETNX {a}1 x {a}2 y")
    slots.take()[0].reply(b"-TRYAGAIN wait\r\n")
    with pytest.raises(MeshError):
        body(late)
    assert slots.env.clock.getDelayedCalls() == []


def test_asking_slows_down_where_nothing_changes(slots: RedisWorld) -> None:
    """However many commands fail: ten times a second at first, once a second in the end."""
    times = []
    for _ in range(200):
        slots.topology.doubt(None)
        slots.env.clock.advance(0.05)
        if slots.asked():
            times.append(slots.env.now())
            slots.tell(slots_reply((0, 16382, 1), (16383, 16383, 2)))
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert gaps[0] < 0.5
    assert 0.9 < gaps[-1] < 1.2


def test_another_node_is_asked_if_one_does_not_answer(slots: RedisWorld) -> None:
    slots.connector.answer[address(1)] = "refuse"
    slots.env.clock.advance(5.6)
    assert [number for number, _ in slots.asked()] == [2]
    slots.tell(slots_reply((0, 16383, 2)))
    assert slots.topology.trouble == ""
