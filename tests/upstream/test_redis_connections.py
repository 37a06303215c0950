"""Shared connections: as few as will do, and none for longer than it is needed."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.upstream.redis_servers import ADDRESS, Upstream, body, failure
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_pending import Pending
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.connections import Connections, Portion


def test_databases_and_versions_have_connections_of_their_own() -> None:
    upstream = Upstream()
    for fields in ({}, {"db": 3}, {"resp": 3}, {"db": 3}, {}):
        upstream.send("GET a", **fields)
    assert len(upstream.connector.protocols) == 3
    assert b"SELECT\r\n$1\r\n3" in upstream.seen(1)
    assert b"HELLO" in upstream.seen(2)


def test_as_many_connections_are_shared_as_are_configured() -> None:
    upstream = Upstream(connections=2)
    calls = [upstream.send(f"GET {at}") for at in range(4)]
    assert len(upstream.connector.protocols) == 2
    for number in range(2):
        upstream.introduced(number)
        upstream.say(b"+1\r\n" * upstream.seen(number).count(b"GET"), number)
    assert [body(each) for each in calls] == [b"+1\r\n"] * 4


class Asker:
    """A client's connection, as far as a pool needs it."""

    placed: Any = None
    crowded = True


def test_what_a_client_sends_goes_where_it_waits_for_replies() -> None:
    """Over two connections it could overtake what the client sent before."""
    upstream = Upstream(connections=2)
    first, other = Asker(), Asker()
    for _ in range(3):
        upstream.send("SET a 1", caller=first)
        upstream.send("GET a", caller=first)
    upstream.send("GET b", caller=other)
    for number in range(2):
        upstream.introduced(number)
    assert [upstream.seen(number).count(b"$1\r\na") for number in range(2)] == [6, 0]
    first.crowded = False
    upstream.send("GET c", caller=first)
    upstream.turn()
    assert b"$1\r\nc" in upstream.seen(1)
    # And where it is not known which of them that is, it is looked for.
    other.placed = None
    upstream.send("GET d", caller=other)
    upstream.send("GET d", caller=other)
    upstream.turn()
    assert upstream.seen(1).count(b"$1\r\nd") == 2


def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    upstream = Upstream()
    busy, idle = upstream.send("GET a", timeout=None), upstream.send("GET b", db=1)
    for number in range(2):
        upstream.introduced(number)
    upstream.say(b"+b\r\n", 1)
    assert body(idle) == b"+b\r\n"
    for _ in range(10):
        upstream.env.clock.advance(1.0)
    assert upstream.pool.open == 2
    for _ in range(60):
        # It has not gone silent: that would be another matter.
        upstream.server(0)._heard_at = upstream.env.now()
        upstream.env.clock.advance(1.0)
    assert upstream.pool.open == 1
    assert not busy.done


def test_without_a_connection_nothing_is_looked_for_even_if_one_was_refused() -> None:
    upstream = Upstream()
    call = upstream.send("GET a")
    upstream.introduced()
    upstream.pool.portion.share(Connections(1), upstream.pool.open)
    with pytest.raises(MeshError, match="all of 1 connections of the cluster are taken"):
        upstream.send("GET b", db=1)
    upstream.say(b"+1\r\n")
    assert body(call) == b"+1\r\n"
    for _ in range(70):
        upstream.env.clock.advance(1.0)
    assert upstream.pool.open == 0
    assert upstream.env.clock.getDelayedCalls() == []


def test_an_idle_connection_goes_where_another_pool_needs_its_place_and_a_busy_one_does_not() -> None:
    upstream = Upstream()
    call = upstream.send("GET a")
    upstream.introduced()
    connections, other = Connections(1), Portion()
    upstream.pool.portion.share(connections, upstream.pool.open)
    other.share(connections, 0)
    assert not other.take()
    upstream.say(b"+1\r\n")
    assert body(call) == b"+1\r\n"
    assert other.take()
    assert (upstream.pool.open, connections.open) == (0, 1)
    with pytest.raises(MeshError, match="all of 1 connections of the cluster are taken") as caught:
        upstream.send("GET b")
    assert caught.value.kind is Kind.OVERFLOW
    other.give()
    upstream.send("GET c")
    assert upstream.pool.open == 1


def test_a_pool_with_a_connection_takes_none_from_another_to_have_one_more() -> None:
    upstream = Upstream(connections=2)
    upstream.send("GET a")
    connections = Connections(1)
    asked: list[str] = []
    upstream.pool.portion.share(connections, upstream.pool.open)

    def spare() -> bool:
        asked.append("spare")
        return False

    other = Portion(spare)
    other.share(connections, 0)
    upstream.send("GET b")
    assert (upstream.pool.open, asked) == (1, [])


def test_a_pool_that_drains_closes_what_is_idle_and_answers_what_is_in_flight() -> None:
    upstream = Upstream()
    call = upstream.send("GET a")
    upstream.introduced()
    upstream.pool.drain()
    assert upstream.pool.open == 1
    upstream.say(b"+1\r\n")
    assert body(call) == b"+1\r\n"
    upstream.env.clock.advance(1.0)
    assert upstream.pool.open == 0


def test_a_large_value_has_a_connection_of_its_priority_and_shared_ones_have_none() -> None:
    low = {"low": {"connections": 1}}
    upstream = Upstream(limits={"connections": 1, "priorities": low})
    upstream.send("GET a", priority=-1)
    about: Any = upstream.cluster.describe()["connections"]
    assert (about["open"], about["priorities"]["low"]["open"]) == (1, 0)

    def large(priority: int) -> Pending:
        return upstream.send("SET a x", write=True, priority=priority, body=ByteStream(length=5))

    with pytest.raises(MeshError, match="all of 1 connections of the cluster are taken"):
        large(0)
    value = large(-1)
    with pytest.raises(MeshError, match="all of 1 connections of the cluster are taken"):
        large(-1)
    about = upstream.cluster.describe()["connections"]
    assert (about["open"], about["priorities"]["low"]["open"]) == (1, 1)
    # A reload goes on counting, and one without the limit counts it nowhere.
    for limits, counted in (({"priorities": low}, (1, 1)), (None, None)):
        cluster = upstream.other(limits=limits)
        about = cluster.describe()["connections"]
        assert counted == (None if about is None else (about["open"], about["priorities"]["low"]["open"]))
    upstream.connector.protocols[1].connectionLost(Failure(ConnectionDone()))
    assert isinstance(failure(value), MeshError)
    assert upstream.pool.open == 1


def test_a_refused_connection_fails_at_once_and_the_next_call_tries_again() -> None:
    upstream = Upstream()
    upstream.connector.answer[ADDRESS] = "refuse"
    with pytest.raises(MeshError, match="connection refused") as caught:
        upstream.send("GET a")
    assert caught.value.retryable
    assert upstream.endpoint.active == 0
    assert upstream.endpoint.failures == 1
    assert upstream.env.count("upstream_connect_failures_total", "redis", "main") == 1
    del upstream.connector.answer[ADDRESS]
    upstream.send("GET a")
    assert len(upstream.connector.protocols) == 1
