"""What is sent where: shards and a Redis Cluster, without a network."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import LOST, RedisWorld, body, slots_reply
from twisted_mesh.codec.resp import array, bulk, integer


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


def test_keys_that_are_not_together(shards: RedisWorld) -> None:
    pending = shards.call("SUNION k1 k2 k3 k4 k5")
    assert body(pending) == b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"


def test_what_sort_stores_has_to_be_with_what_it_sorts(shards: RedisWorld) -> None:
    """Servers tell of STORE in no specification of keys, and these ones know nothing of each other."""
    pending = shards.call("SORT {a}1 LIMIT 0 5 STORE {a}2", write=True)
    (sent,) = shards.take()
    sent.reply(integer(3))
    assert body(pending) == integer(3)
    calls = [shards.call(f"SORT k1 STORE k{at}", write=True) for at in range(2, 9)]
    refused = [body(each) for each in calls if each.done]
    assert refused and set(refused) == {b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"}
    assert len(shards.take()) == len(calls) - len(refused) > 0
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


@pytest.mark.parametrize(("kind", "said"), [("shards", 2), ("slots", 4)])
def test_patterns_are_known_to_all_shards_and_to_any_node_of_a_cluster(
    request: pytest.FixtureRequest, kind: str, said: int
) -> None:
    world: RedisWorld = request.getfixturevalue(kind)
    pending = world.call("PUBSUB NUMPAT")
    for sent, count in zip(world.take(), (2, 2, 1)):
        sent.reply(integer(count))
    assert body(pending) == integer(said)


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


def test_scan_goes_on_with_those_that_stay() -> None:
    """Whatever is there beside them, and whoever has their keys now."""
    names = [f"s{each}" for each in range(8)]

    def marked(*which: str) -> dict[str, int]:
        endpoints = [{"address": f"10.0.0.{names.index(each) + 1}:6379", "name": each} for each in which]
        world = RedisWorld(0, endpoints, topology="sharded")
        return {group.name: mark for mark, group in world.topology.marked().items()}

    everybody = marked(*names)
    assert len(set(everybody.values())) == 8
    assert marked("s5", "s2") == {each: everybody[each] for each in ("s2", "s5")}


def test_scan_of_a_cluster_goes_on_where_the_slots_are(slots: RedisWorld) -> None:
    cursor, numbers = "0", []
    for told in (b"0", b"7"):
        pending = slots.call(f"SCAN {cursor}")
        (sent,) = slots.take()
        numbers.append(sent.number)
        sent.reply(array([bulk(told), array([])]))
        cursor = body(pending).split(b"\r\n")[2].decode()
    assert numbers == [2, 1]
    slots.env.clock.advance(5)
    slots.tell(slots_reply((0, 16382, 3), (16383, 16383, 2)))
    slots.call(f"SCAN {cursor}")
    (again,) = slots.take()
    assert (again.number, again.text) == (3, "SCAN 7")


def test_channels_are_where_keys_of_their_names_are(shards: RedisWorld) -> None:
    shards.call("PUBLISH k1 x")
    shards.call("SET k1 x")
    first, second = shards.take()
    assert first.number == second.number


def test_many_keys_are_one_command_for_each_slot_and_one_call_for_each_server(slots: RedisWorld) -> None:
    pending = slots.call("MGET a b {a}2")
    (sent,) = slots.take()
    assert sent.text == "MGET a {a}2; MGET b"
    sent.reply(array([bulk(b"A"), bulk(b"A2")]), array([bulk(b"B")]))
    assert body(pending) == array([bulk(b"A"), bulk(b"B"), bulk(b"A2")])
