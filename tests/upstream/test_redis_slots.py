"""Who has which slot: what nodes tell, and what redirections correct."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import RedisWorld, address, body, slots_reply, slots_world
from twisted_mesh.codec.resp import bulk
from twisted_mesh.codec.slots import SLOTS, slot


@pytest.fixture
def slots() -> RedisWorld:
    return slots_world()


def test_a_slot_that_nobody_has_is_waited_for(slots: RedisWorld) -> None:
    slots.env.clock.advance(5.6)
    slots.tell(slots_reply((0, 100, 1), (16383, 16383, 2)))
    pending = slots.call("GET a")
    assert slots.sent == []
    slots.env.clock.advance(1)
    slots.tell(slots_reply((0, SLOTS - 1, 2)))
    slots.take()[0].reply(bulk(b"A"))
    assert body(pending) == bulk(b"A")


def test_nodes_that_are_gone_are_no_endpoints_any_more(slots: RedisWorld) -> None:
    assert [each.address for each in slots.cluster.endpoints] == [address(1), address(2)]
    slots.env.clock.advance(5.6)
    slots.tell(slots_reply((0, 8000, 1), (8001, SLOTS - 1, 3)))
    assert [each.address for each in slots.cluster.endpoints] == [address(1), address(3)]
    assert [each.name for each in slots.topology.groups()] == [address(1), address(3)]


def test_a_node_that_only_a_redirection_names_is_taken_in(slots: RedisWorld) -> None:
    slots.call("GET a")
    slots.take()[0].reply(b"-MOVED %d :7000\r\n" % slot(b"a"))
    (again,) = slots.take()
    assert again.call.endpoint is not None
    assert "10.0.0.1:7000" in [each.address for each in slots.cluster.endpoints]
    assert slots.topology.describe()["slots"] == SLOTS
