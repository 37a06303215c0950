"""Who has which slot: what nodes tell, and what redirections correct."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import OK, RedisWorld, address, body, slots_reply, slots_world
from twisted_mesh.codec.resp import array, bulk, integer
from twisted_mesh.codec.slots import SLOTS, slot
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_greeting import OF_REPLICAS


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


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"), b"-TRYAGAIN the key has moved to another server; try again\r\n"),
        (b"-ASK %d 10.0.0.2:6379\r\n" % slot(b"a"), b"-TRYAGAIN the key has moved to another server; try again\r\n"),
        (b"-CLUSTERDOWN The cluster is down\r\n", b"-CLUSTERDOWN The cluster is down\r\n"),
        (OK, OK),
    ],
)
def test_a_value_that_was_on_its_way_when_its_key_moved(slots: RedisWorld, said: bytes, told: bytes) -> None:
    stream = ByteStream(None)
    pending = slots.call("SET a x", body=stream)
    (sent,) = slots.take()
    assert sent.call.body is stream
    sent.reply(said)
    assert body(pending) == told
    assert slots.take() == []
    slots.call("SET a 2")
    assert [number for number, _ in slots.texts()] == [2 if b"MOVED" in said else 1]


def _led(primary: int, replica: int) -> bytes:
    """All slots are at one server, and another one is its replica."""
    nodes = [array([bulk(b"10.0.0.%d" % each), integer(6379), bulk(b"id%d" % each)]) for each in (primary, replica)]
    return array([array([integer(0), integer(16383), *nodes])])


def test_only_reads_of_replicas_go_over_connections_that_only_read() -> None:
    """Or a primary that has become a replica would answer reads behind a write which it sends elsewhere."""
    world = RedisWorld(1, topology="cluster", read="any")
    world.start()
    world.tell(_led(1, 2))
    for _ in range(20):
        world.call("GET a")
        world.call("MGET {a}1 {a}2")
    world.call("SET a 1")
    sent = world.take()
    assert {(each.number, each.call.db) for each in sent} == {(1, 0), (2, OF_REPLICAS)}
    reads = [each for each in sent if each.number == 2]
    reads[0].reply(*[bulk(b"x")] * reads[0].call.count)
    world.env.clock.advance(6)
    world.tell(_led(2, 1))
    for _ in range(20):
        world.call("GET a")
    assert {(each.number, each.call.db) for each in world.take()} == {(2, 0), (1, OF_REPLICAS)}


def test_a_large_argument_of_a_read_goes_to_the_primary() -> None:
    world = RedisWorld(1, topology="cluster", read="replica")
    world.start()
    world.tell(_led(1, 2))
    world.call("SISMEMBER a x", body=ByteStream())
    world.call("SISMEMBER a x")
    assert [(each.number, each.call.db) for each in world.take()] == [(1, 0), (2, OF_REPLICAS)]
