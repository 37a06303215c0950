"""Carrying commands: what fails in its place, what is sent again, what servers say of where a key is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.upstream.redis_told import LOST, OK, REPLICA, RedisWorld, body, slots_reply
from twisted_mesh.codec.resp import array, bulk, integer
from twisted_mesh.codec.slots import slot
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import PartOfReplies


def test_where_all_fails_the_call_does(shards: RedisWorld) -> None:
    pending = shards.call(*(f"SET k{each} x" for each in range(12)))
    for each in shards.take():
        each.fail(LOST)
    with pytest.raises(MeshError, match="it was lost"):
        body(pending)


def test_each_part_is_the_clients_so_that_it_stays_behind_what_that_has_sent(shards: RedisWorld) -> None:
    client = SimpleNamespace(call_id="c-1")
    shards.call(*(f"SET k{each} x" for each in range(12)), caller=client)
    assert [each.call.caller for each in shards.take()] == [client] * 3


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


def test_reads_that_writes_of_their_client_have_followed_are_not_tried_again(shards: RedisWorld) -> None:
    client = SimpleNamespace(call_id="c-1", repeats=lambda call: False)
    pending = shards.call(*(f"GET k{each}" for each in range(12)), caller=client)
    first, *others = shards.take()
    first.fail(MeshError(Kind.RESET, "it was lost", origin=Origin.UPSTREAM, retryable=True))
    for each in others:
        each.reply(*[OK] * each.call.count)
    assert shards.take() == []
    assert body(pending).count(b"-MESHFAILURE") == first.call.count


def test_a_batch_for_replicas_stays_together() -> None:
    world = RedisWorld(3, topology="replicated", read="any")
    world.start()
    for each in (1, 2, 3):
        world.tell(array([bulk(b"master"), integer(1), array([])]) if each == 1 else REPLICA, each)
    for _ in range(10):
        world.call(*(f"GET k{each}" for each in range(8)))
        assert len(world.take()) == 1


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


def test_the_parts_of_a_call_have_its_time(shards: RedisWorld) -> None:
    pending = shards.call(*(f"GET k{each}" for each in range(12)), timeout=2.0, received=1.0, deadline=2.5, started=0.5)
    assert [each.call.left(2.0) for each in shards.take()] == [0.5, 0.5, 0.5]
    assert not pending.done


def test_what_waits_for_news_fails_when_its_time_is_over(slots: RedisWorld) -> None:
    slots.env.clock.advance(1.0)
    now = slots.env.now()
    pending = slots.call("SET k x", timeout=2.0, received=now, started=now)
    slots.take()[0].reply(b"-CLUSTERDOWN The cluster is down\r\n")
    slots.env.clock.advance(1.9)
    slots.tell(slots_reply((0, 16383, 1)))
    again = slots.take()
    assert len(again) == 1
    again[0].reply(b"-CLUSTERDOWN The cluster is down\r\n")
    slots.env.clock.advance(0.2)
    slots.tell(slots_reply((0, 16383, 1)))
    assert slots.take() == []
    with pytest.raises(MeshError, match="no reply within 2 s") as caught:
        body(pending)
    assert caught.value.kind is Kind.TIMEOUT
