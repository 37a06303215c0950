"""Carrying commands: what fails in its place, what is sent again, what servers say of where a key is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Collection

import pytest

from tests.upstream.redis_told import LOST, OK, REPLICA, RedisWorld, body, slots_reply
from twisted_mesh.codec.resp import array, bulk, integer
from twisted_mesh.codec.slots import slot
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import Overtook, RedisCall, RedisReply
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.stream import ByteStream


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


def test_servers_that_send_a_command_to_each_other_are_asked_now_and_then(slots: RedisWorld) -> None:
    client = Order()
    pending = slots.call("SET a 1", caller=client)
    sent = 0
    while not pending.done:
        for each in slots.take():
            sent += 1
            each.reply(b"-MOVED %d 10.0.0.%d:6379\r\n" % (slot(b"a"), 3 - each.number))
        if not slots.sent:
            _news(slots)
    assert body(pending) == b"-TRYAGAIN the key has moved to another server; try again\r\n"
    assert sent < 100
    assert 4.8 < slots.env.now() < 5.5
    # From the third time on others wait for it.
    assert set(client.waits) == {"SET"}


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


class Order:
    """A client that notes what is to wait, and says what was done behind a call."""

    def __init__(self, *done: bytes) -> None:
        self.call_id = "c-1"
        self.wrote_at = 0.0
        self.done = set(done)
        self.how = Overtook.DONE
        self.waits: list[str] = []

    def waits_for(self, call: RedisCall) -> None:
        self.waits.append(call.operation)

    def overtook(self, call: RedisCall, keys: Collection[bytes]) -> Overtook:
        return self.how if self.done & set(keys) else Overtook.NO


def _news(slots: RedisWorld) -> None:
    slots.env.clock.advance(0.2)
    slots.tell(slots_reply((0, 16382, 1), (16383, 16383, 2)))


TRYAGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"


def test_what_a_client_sends_waits_for_what_is_to_be_sent_again(slots: RedisWorld) -> None:
    client = Order()
    pending = slots.call("MGET {a}1 {a}2", caller=client)
    assert client.waits == []
    slots.take()[0].reply(TRYAGAIN)
    assert client.waits == ["MGET"]
    _news(slots)
    slots.take()[0].reply(array([bulk(b"1"), bulk(b"2")]))
    assert body(pending) == array([bulk(b"1"), bulk(b"2")])


@pytest.mark.parametrize(
    ("line", "written", "again"),
    [
        ("MGET {a}1 {a}2", b"{a}2", False),
        ("MGET {a}1 {a}2", b"b", True),
        ("MSET {a}1 x {a}2 y", b"{a}2", False),
        ("MSETNX {a}1 x {a}2 y", b"x", True),
    ],
)
def test_what_was_overtaken_while_it_was_refused_is_not_sent_again(
    slots: RedisWorld, line: str, written: bytes, again: bool
) -> None:
    """A slot moves, so that the first command is refused; of what stands behind it all keys are there, and it is done."""
    pending = slots.call(line, caller=Order(written))
    slots.take()[0].reply(TRYAGAIN)
    _news(slots)
    assert len(slots.take()) == again
    assert pending.done is not again
    if not again:
        assert body(pending) == TRYAGAIN
        assert slots.env.count("cluster_redis_followed_total", "redis", "overtaken") == 1


def test_what_perhaps_is_overtaken_waits_until_that_is_known(slots: RedisWorld) -> None:
    client = Order(b"{a}2")
    client.how = Overtook.PERHAPS
    pending = slots.call("MGET {a}1 {a}2", caller=client)
    slots.take()[0].reply(TRYAGAIN)
    _news(slots)
    assert slots.take() == []
    client.done.clear()
    _news(slots)
    slots.take()[0].reply(array([bulk(b"1"), bulk(b"2")]))
    assert body(pending) == array([bulk(b"1"), bulk(b"2")])


def test_what_waits_is_not_sent_yet(slots: RedisWorld) -> None:
    pending = slots.call("MSET {a}1 x {a}2 y b z")
    (sent,) = slots.take()
    call = pending.call
    assert call.unsent == set()
    sent.reply(TRYAGAIN, OK)
    assert call.unsent == {b"{a}1", b"{a}2"}
    _news(slots)
    assert call.unsent == set()
    slots.take()[0].reply(OK)
    assert body(pending) == OK


def test_of_a_split_command_what_was_overtaken_is_told_in_its_place(slots: RedisWorld) -> None:
    pending = slots.call("MGET {a}1 b {a}2", caller=Order(b"{a}1"))
    (sent,) = slots.take()
    assert sent.text == "MGET {a}1 {a}2; MGET b"
    sent.reply(TRYAGAIN, array([bulk(b"B")]))
    _news(slots)
    assert slots.take() == []
    assert body(pending) == array([TRYAGAIN, bulk(b"B"), TRYAGAIN])


def test_while_a_slot_moves_nothing_goes_past_what_may_be_refused(slots: RedisWorld) -> None:
    client = Order()
    asked = slots.call("GET {a}1", caller=client)
    slots.take()[0].reply(b"-ASK %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.take()[0].reply(OK, bulk(b"1"))
    assert body(asked) == bulk(b"1")
    slots.call("GET {a}2", caller=client)
    slots.call("SUNION b c{b}", caller=client)
    assert client.waits == []
    slots.call("SUNION {a}2 {a}3", caller=client)
    assert client.waits == ["SUNION"]
    slots.env.clock.advance(3.0)
    slots.call("SUNION {a}2 {a}3", caller=client)
    assert client.waits == ["SUNION"]


def test_who_is_refused_for_long_is_told_so(slots: RedisWorld) -> None:
    pending = slots.call("MGET {a}1 {a}2")
    for _ in range(100):
        if pending.done:
            break
        slots.take()[0].reply(TRYAGAIN)
        _news(slots)
    assert 4.8 < slots.env.now() < 5.5
    assert body(pending) == TRYAGAIN


@pytest.mark.parametrize("moved", [False, True])
def test_behind_a_large_reply_may_stand_that_a_key_has_moved(slots: RedisWorld, moved: bool) -> None:
    pending = slots.call("GET a", "GET b")
    (sent,) = slots.take()
    stream = ByteStream()
    sent.pending.fire(RedisReply(stream, 2))
    last = b"-ASK %d 10.0.0.2:6379\r\n" % slot(b"b") if moved else bulk(b"B")
    stream.write(bulk(b"A" * 1000))
    stream.write(last)
    stream.end()
    if moved:
        (again,) = slots.take()
        assert (again.number, again.text) == (2, "ASKING; GET b")
        again.reply(OK, bulk(b"B"))
    assert body(pending) == bulk(b"A" * 1000) + bulk(b"B")
    assert pending.value.count == 2


def test_a_large_reply_alone_is_passed_on(slots: RedisWorld) -> None:
    pending = slots.call("GET a")
    stream = ByteStream()
    slots.take()[0].pending.fire(RedisReply(stream))
    assert pending.value.body is stream
