"""What is sent where, and what becomes of the replies: shards and a Redis Cluster, without a network."""

from __future__ import annotations

import pytest

from tests.upstream.redis_world import RedisWorld, address, slots_reply
from twisted_mesh import model
from twisted_mesh.codec.resp import array, bulk, integer
from twisted_mesh.codec.slots import SLOTS, slot
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import PartOfReplies
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.redis_topology import _instances

OK = b"+OK\r\n"
REPLICA = array([bulk(b"slave"), bulk(b"10.0.0.1"), integer(6379), bulk(b"connected"), integer(1)])
LOST = MeshError(Kind.RESET, "it was lost", origin=Origin.UPSTREAM)


@pytest.fixture
def shards() -> RedisWorld:
    return RedisWorld(3, topology="sharded", shards={"hash": "md5"})


@pytest.fixture
def slots() -> RedisWorld:
    """Server 1 has the slots of `a` and `b`, server 2 all above the middle."""
    world = RedisWorld(1, topology="cluster")
    world.start()
    world.tell(slots_reply((0, 16382, 1), (SLOTS - 1, SLOTS - 1, 2)))
    return world


def body(pending: object) -> bytes:
    assert pending.done  # type: ignore[attr-defined]
    if pending.error is not None:  # type: ignore[attr-defined]
        raise pending.error  # type: ignore[attr-defined]
    return bytes(pending.value.body)  # type: ignore[attr-defined]


# --- shards


def test_a_batch_is_sent_by_server_and_its_replies_come_in_order(shards: RedisWorld) -> None:
    keys = [f"k{each}" for each in range(12)]
    pending = shards.call(*(f"GET {key}" for key in keys))
    sent = shards.take()
    assert len(sent) == 3
    for each in reversed(sent):
        assert not pending.done
        each.reply(*(bulk(command.split()[1].encode()) for command in each.text.split("; ")))
    assert body(pending) == b"".join(bulk(key.encode()) for key in keys)
    assert pending.value.count == 12


def test_a_batch_for_one_server_is_sent_as_it_is(shards: RedisWorld) -> None:
    pending = shards.call("GET {a}1", "GET {a}2")
    (sent,) = shards.take()
    assert sent.pending is pending
    assert sent.text == "GET {a}1; GET {a}2"


def test_what_fails_has_its_error_in_its_place(shards: RedisWorld) -> None:
    keys = [f"k{each}" for each in range(12)]
    pending = shards.call(*(f"SET {key} x" for key in keys))
    first, second, third = shards.take()
    first.reply(*[OK] * first.call.count)
    second.fail(PartOfReplies(LOST, OK, 1))
    third.fail(LOST)
    replies = body(pending).split(b"\r\n")[:-1]
    lost = b"-MESHFAILURE upstream failure: it was lost"
    expected = []
    seen = 0
    for key in keys:
        if f" {key} " in first.text:
            expected.append(b"+OK")
        elif f" {key} " in second.text:
            expected.append(lost if seen else b"+OK")
            seen += 1
        else:
            expected.append(lost)
    assert replies == expected
    assert pending.value.errors == expected.count(lost)


def test_where_all_fails_the_call_does(shards: RedisWorld) -> None:
    pending = shards.call(*(f"SET k{each} x" for each in range(12)))
    for each in shards.take():
        each.fail(LOST)
    with pytest.raises(MeshError, match="it was lost"):
        body(pending)


def test_reads_of_a_batch_are_tried_once_more(shards: RedisWorld) -> None:
    pending = shards.call(*(f"GET k{each}" for each in range(12)))
    again = MeshError(Kind.RESET, "it was lost", origin=Origin.UPSTREAM, retryable=True)
    first, *others = shards.take()
    first.fail(again)
    (repeated,) = shards.take()
    assert (repeated.number, repeated.text) == (first.number, first.text)
    repeated.fail(again)
    for each in others:
        each.reply(*[b"$-1\r\n"] * each.call.count)
    assert body(pending).count(b"MESHFAILURE") == first.call.count


def test_keys_that_are_not_together(shards: RedisWorld) -> None:
    pending = shards.call("SUNION k1 k2 k3 k4 k5")
    assert body(pending) == b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    assert shards.sent == []
    shards.call("SUNION {k}1 {k}2")
    assert [text for _, text in shards.texts()] == ["SUNION {k}1 {k}2"]


def test_a_sum_is_only_said_when_all_have_answered(shards: RedisWorld) -> None:
    pending = shards.call("DBSIZE")
    first, second, third = shards.take()
    first.reply(integer(1))
    second.reply(integer(2))
    third.reply(integer(4))
    assert body(pending) == integer(7)
    pending = shards.call("DBSIZE")
    first, second, third = shards.take()
    first.reply(integer(1))
    second.reply(integer(2))
    third.fail(LOST)
    assert body(pending) == b"-MESHFAILURE upstream failure: it was lost\r\n"


def test_scan_goes_from_one_to_the_next(shards: RedisWorld) -> None:
    cursor, numbers = b"0", []
    for told in (b"7", b"0", b"0", b"0"):
        pending = shards.call(f"SCAN {cursor.decode()} COUNT 5")
        (sent,) = shards.take()
        numbers.append(sent.number)
        sent.reply(array([bulk(told), array([])]))
        cursor = body(pending).split(b"\r\n")[2]
    assert numbers[0] == numbers[1]
    assert sorted(numbers[1:]) == [1, 2, 3]
    assert cursor == b"0"


def test_channels_are_where_keys_of_their_names_are(shards: RedisWorld) -> None:
    shards.call("PUBLISH k1 x")
    shards.call("SET k1 x")
    first, second = shards.take()
    assert first.number == second.number


def test_instances_of_a_service_are_shards() -> None:
    """By their label, or by what they are called; the order in which they register does not matter."""
    target = model.Address.parse
    known = [
        Endpoint(target("10.0.0.3:6379"), instance="c"),
        Endpoint(target("10.0.0.2:6379"), instance="b", labels={"shard": "zero"}, weight=2),
        Endpoint(target("10.0.0.1:6379"), instance="a"),
    ]
    shards = _instances(known)
    assert [(name, weight) for name, _, weight in shards] == [("a", 1), ("c", 1), ("zero", 2)]
    assert shards == _instances(known[::-1])


def test_a_batch_for_replicas_stays_together() -> None:
    world = RedisWorld(3, topology="replicated", read="any")
    world.start()
    for each in (1, 2, 3):
        world.tell(array([bulk(b"master"), integer(1), array([])]) if each == 1 else REPLICA, each)
    for _ in range(10):
        world.call(*(f"GET k{each}" for each in range(8)))
        assert len(world.take()) == 1


# --- slots


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


def test_moved_is_followed_and_remembered(slots: RedisWorld) -> None:
    pending = slots.call("SET a 1")
    (sent,) = slots.take()
    assert sent.number == 1
    sent.reply(b"-MOVED %d 10.0.0.3:6379\r\n" % slot(b"a"))
    (again,) = slots.take()
    assert (again.number, again.text) == (3, "SET a 1")
    again.reply(OK)
    assert body(pending) == OK
    slots.call("SET a 2")
    slots.call("SET b 2")
    assert [number for number, _ in slots.texts()] == [3, 1]
    assert slots.env.count("cluster_redis_followed_total", "redis", "moved") == 1


def test_ask_holds_for_one_command(slots: RedisWorld) -> None:
    pending = slots.call("GET a", "GET b")
    (sent,) = slots.take()
    sent.reply(b"-ASK %d 10.0.0.2:6379\r\n" % slot(b"a"), bulk(b"B"))
    (again,) = slots.take()
    assert (again.number, again.text) == (2, "ASKING; GET a")
    again.reply(OK, bulk(b"A"))
    assert body(pending) == bulk(b"A") + bulk(b"B")
    slots.call("GET a")
    assert slots.texts() == [(1, "GET a")]


def test_what_cannot_be_followed_is_told(slots: RedisWorld) -> None:
    pending = slots.call("SET a 1")
    reply = b"-MOVED %d elsewhere.example:6379\r\n" % slot(b"a")
    slots.take()[0].reply(reply)
    assert body(pending) == reply


def test_it_is_not_followed_for_ever(slots: RedisWorld) -> None:
    pending = slots.call("SET a 1")
    for turn in range(40):
        if pending.done:
            break
        slots.take()[0].reply(b"-MOVED %d 10.0.0.%d:6379\r\n" % (slot(b"a"), 1 + turn % 2))
    assert body(pending).startswith(b"-MOVED")


def test_tryagain_is_sent_again_when_more_is_known(slots: RedisWorld) -> None:
    pending = slots.call("MSETNX {a}1 x {a}2 y")
    slots.take()[0].reply(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n")
    assert slots.sent == []
    slots.env.clock.advance(1)
    slots.tell(slots_reply((0, SLOTS - 1, 1)))
    slots.take()[0].reply(integer(1))
    assert body(pending) == integer(1)


def test_many_keys_are_one_command_for_each_slot_and_one_call_for_each_server(slots: RedisWorld) -> None:
    pending = slots.call("MGET a b {a}2")
    (sent,) = slots.take()
    assert sent.text == "MGET a {a}2; MGET b"
    sent.reply(array([bulk(b"A"), bulk(b"A2")]), array([bulk(b"B")]))
    assert body(pending) == array([bulk(b"A"), bulk(b"B"), bulk(b"A2")])


def test_what_is_sent_again_is_not_overtaken(slots: RedisWorld) -> None:
    """`SET a 3` comes after the slot has moved, but `SET a 2` has not come back from its old server yet."""

    marks: list[object] = []

    slots.call("SET a 1")
    slots.call("SET a 2")
    first, second = slots.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twisted_mesh.upstream.redis_barrier.Barrier.wait_for", _waits_for(marks))
        first.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.call("SET a 3")
    assert slots.texts() == [(2, "SET a 1")]
    second.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    marks[0]()  # type: ignore[operator]
    assert slots.texts() == [(2, "SET a 1"), (2, "SET a 2"), (2, "SET a 3")]


def _waits_for(marks: list[object]) -> object:
    def wait_for(self: object, endpoint: object, passed: object) -> None:
        self.left += 1  # type: ignore[attr-defined]
        marks.append(passed)

    return wait_for


def test_a_server_that_does_not_answer_holds_others_up_for_a_moment_only(slots: RedisWorld) -> None:
    slots.call("SET a 1")
    (sent,) = slots.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twisted_mesh.upstream.redis_barrier.Barrier.wait_for", _waits_for([]))
        sent.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.take()
    slots.call("SET a 2")
    assert slots.sent == []
    slots.env.clock.advance(2)
    assert slots.texts() == [(2, "SET a 2")]


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
