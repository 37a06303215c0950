"""Calls: what they know of their client, and that none overtakes another."""

from __future__ import annotations

from typing import AbstractSet

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import Overtook, RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending


def test_what_a_call_knows_of_its_client() -> None:
    client = Client()
    client.send(("HELLO", "3"), ("SELECT", "2"), ("GET", "a"))
    call = client.calls[0]
    assert (call.db, call.resp, call.version) == (2, 3, "3")
    assert (call.peer, call.client, call.protocol, call.listener) == ("192.0.2.1:5", "192.0.2.1", "redis", "cache")
    assert call.id == client.connection.call_id


def test_what_comes_behind_a_call_that_is_tried_again_waits_for_it() -> None:
    client = Client()
    client.send(("GET", "a"))
    assert client.connection.repeats(client.calls[0])
    client.send(("SET", "a", "1"), ("GET", "a"))
    assert len(client.calls) == 1
    client.answer(0, b"$1\r\n0\r\n")
    assert [call.operation for call in client.calls] == ["GET", "SET", "GET"]


def test_what_waits_in_a_filter_is_not_overtaken_by_what_comes_behind_it() -> None:
    """A filter may wait for some calls and not for others: what a server gets is in order all the same."""
    asked: Parked[None] = Parked()
    sent: list[Pending] = []

    def forward(call: RedisCall) -> Pending:
        if call.held is not None:
            call.held()
        call.attempts += 1
        sent.append(Pending(call))
        return sent[-1]

    async def limited(call: RedisCall) -> RedisReply:
        await asked
        return await forward(call)

    client = Client(lambda call: limited(call) if call.key == b"slow" else forward(call))
    client.send(("SET", "slow", "1"), ("MGET", "a", "slow"), ("PING",), ("SET", "slow", "2"))
    client.send(("GET", "a"))
    assert sent == []
    asked.fire(None)
    client.turn()
    # None of them waits for the replies of those before it.
    assert [each.call.operation for each in sent] == ["SET", "MGET", "SET", "GET"]
    for each in reversed(sent):
        each.fire(RedisReply(b"+%s\r\n" % each.call.operation.encode()))
    assert client.heard == b"+SET\r\n+MGET\r\n+PONG\r\n+SET\r\n+GET\r\n"


def test_what_a_filter_refuses_after_a_wait_lets_the_others_go_on() -> None:
    asked: Parked[None] = Parked()
    sent: list[Pending] = []

    async def limited(call: RedisCall) -> RedisReply:
        await asked
        raise MeshError(Kind.RATE_LIMITED)

    def forward(call: RedisCall) -> Pending:
        sent.append(Pending(call))
        return sent[-1]

    client = Client(lambda call: limited(call) if call.write else forward(call))
    client.send(("SET", "a", "1"), ("GET", "a"))
    assert sent == []
    asked.fire(None)
    client.turn()
    sent[0].fire(RedisReply(b"$-1\r\n"))
    assert client.heard == b"-MESHLIMIT rate limited\r\n$-1\r\n"


@pytest.mark.parametrize(
    ("first", "then", "may"),
    [
        (("GET", "a"), ("MGET", "a"), True),
        (("GET", "a"), ("SET", "a", "1"), False),
        (("SET", "a", "1"), ("GET", "a"), False),
        (("SET", "a", "1"), ("PING",), True),
    ],
)
def test_what_is_tried_again_must_overtake_nothing(first: tuple[str, ...], then: tuple[str, ...], may: bool) -> None:
    client = Client()
    client.send(first, then)
    assert client.connection.repeats(client.calls[0]) is may


def test_what_comes_behind_a_call_waits_where_that_is_wanted() -> None:
    client = Client()
    client.send(("MGET", "a", "b"))
    client.connection.waits_for(client.calls[0])
    client.send(("SET", "a", "1"))
    assert len(client.calls) == 1
    client.answer(0, b"*0\r\n")
    assert [call.operation for call in client.calls] == ["MGET", "SET"]
    # It is answered, and nobody waits for it.
    client.connection.waits_for(client.calls[0])
    client.send(("GET", "a"))
    assert len(client.calls) == 3


@pytest.mark.parametrize(
    ("first", "then", "answer", "overtook"),
    [
        (("MGET", "a", "b"), ("SET", "b", "1"), b"+OK\r\n", Overtook.DONE),
        (("MGET", "a", "b"), ("MSET", "x", "1", "b", "1"), b"+OK\r\n", Overtook.DONE),
        (("MGET", "a", "b"), ("SET", "c", "1"), b"+OK\r\n", Overtook.NO),
        (("MGET", "a", "b"), ("GET", "b"), b"$-1\r\n", Overtook.NO),
        (("MSET", "a", "1", "b", "1"), ("GET", "b"), b"$-1\r\n", Overtook.DONE),
        (("MGET", "a", "b"), ("SET", "b", "1"), b"-CLUSTERDOWN The cluster is down\r\n", Overtook.NO),
        (("MGET", "a", "b"), ("SET", "b", "1"), b"", Overtook.PERHAPS),
        (("MGET", "a", "b"), ("SET", "c", "1"), b"", Overtook.NO),
        (("MGET", "a", "b"), ("FLUSHALL",), b"+OK\r\n", Overtook.DONE),
    ],
)
def test_what_is_done_behind_a_call_that_was_refused(
    first: tuple[str, ...], then: tuple[str, ...], answer: bytes, overtook: Overtook
) -> None:
    client = Client()
    client.send(("SET", "a", "0"), first, then)
    for each in client.calls:
        each.attempts = 1
    client.answer(0, b"+OK\r\n")
    if answer:
        client.answer(2, answer)
    assert client.connection.overtook(client.calls[1], {b"a", b"b"}) is overtook


@pytest.mark.parametrize(("attempts", "unsent"), [(0, frozenset()), (1, {b"b"})])
def test_what_waits_itself_overtakes_nothing(attempts: int, unsent: AbstractSet[bytes]) -> None:
    client = Client()
    client.send(("MGET", "a", "b"), ("SET", "b", "1"))
    client.calls[1].attempts, client.calls[1].unsent = attempts, unsent
    assert client.connection.overtook(client.calls[0], {b"a", b"b"}) is Overtook.NO
