"""How many connections clients have for themselves, and when one is used again."""

from __future__ import annotations

import pytest

from tests.upstream.redis_servers import Upstream
from tests.upstream.redis_world import World, body, command
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_pending import Pending
from twisted_mesh.redis_session import Session


def test_a_clean_one_is_used_again() -> None:
    world = World()
    for number in range(3):
        session = world.session()
        pending = world.send(session, "BLPOP q 0")
        world.say(b"*-1\r\n")
        assert body(pending) == b"*-1\r\n"
        session.settle()
        assert len(world.connector.asked) == 1, number
    assert (world.pool.open, len(world.pool.idle)) == (1, 1)


def test_one_of_another_database_or_version_is_not() -> None:
    world = World()
    for db, resp in ((0, 2), (1, 2), (0, 3), (1, 2)):
        session = world.session()
        call = command("BLPOP q 0", session)
        call.db, call.resp = db, resp
        pending = world.sessions(call)
        if db and world.pool.open < 3:
            world.say(b"+OK\r\n", which=-1)
        which = 1 if (db, resp) == (1, 2) else -1
        world.say(b"*-1\r\n", which)
        assert body(pending) == b"*-1\r\n"
        session.settle()
    assert world.pool.open == 3


def test_they_are_bounded() -> None:
    world = World(max_connections=2)
    sessions = [world.session() for _ in range(3)]
    for each in sessions[:2]:
        world.send(each, "BLPOP q 0")
    with pytest.raises(MeshError, match="all of 2 connections of clients' own are taken") as caught:
        world.send(sessions[2], "BLPOP q 0")
    assert caught.value.kind is Kind.OVERFLOW
    assert world.env.count("upstream_overflows_total", "redis", "redis") == 1
    # Who goes away makes room.
    sessions[0].end()
    world.send(sessions[2], "BLPOP q 0")
    assert world.pool.open == 2


def test_an_idle_one_makes_room_for_another_kind() -> None:
    world = World(max_connections=1)
    session = world.session()
    world.send(session, "BLPOP q 0")
    world.say(b"*-1\r\n")
    session.settle()
    call = command("BLPOP q 0", world.session())
    call.resp = 3
    world.sessions(call)
    assert (world.pool.open, len(world.pool.idle)) == (1, 0)


def test_idle_ones_are_closed_in_time_and_at_a_drain() -> None:
    world = World(idle_timeout="10s")
    session = world.session()
    world.send(session, "BLPOP q 0")
    world.say(b"*-1\r\n")
    session.settle()
    world.env.clock.pump([1.0] * 9)
    assert world.pool.open == 1
    world.env.clock.pump([1.0] * 3)
    assert world.pool.open == 0
    busy = world.session()
    world.send(busy, "BLPOP q 0")
    world.pool.drain()
    assert world.pool.open == 1
    world.say(b"*-1\r\n")
    busy.settle()
    assert world.pool.open == 0


def test_a_server_that_does_not_answer_within_the_time_of_a_command() -> None:
    world = World()
    session = world.session()
    session.watching = True
    world.env.clock.advance(10.0)
    # It goes by when the command came, and not by when it was sent.
    call = command("GET a", session)
    call.timeout, call.received = 2.0, 9.0
    pending = world.sessions(call)
    world.env.clock.pump([0.5] * 2)
    with pytest.raises(MeshError, match="no reply within 2 s"):
        body(pending)
    assert world.endpoint.failures == 1
    # Who calls may wait for less long, and that says nothing of the server.
    session = world.session()
    session.watching = True
    call = command("GET a", session)
    call.timeout, call.received, call.started, call.deadline = 2.0, 11.0, 11.0, 11.5
    pending = world.sessions(call)
    world.env.clock.pump([0.5] * 2)
    with pytest.raises(MeshError, match=r"the caller waits no longer than 0\.5 s"):
        body(pending)
    assert world.endpoint.failures == 1
    # One that waits for something has all the time it wants.
    waiting = world.send(world.session(), "BLPOP q 0")
    world.env.clock.pump([1.0] * 100)
    assert body(waiting) is None


@pytest.mark.parametrize(("text", "failures"), [(b"-LOADING x", 1), (b"-OOM x", 1), (b"-WRONGTYPE x", 0), (b"+OK", 0)])
def test_what_an_error_says_of_the_server(text: bytes, failures: int) -> None:
    world = World()
    pending = world.send(world.session(), "BLPOP q 0")
    world.say(text + b"\r\n")
    assert body(pending) == text + b"\r\n"
    assert (world.endpoint.successes, world.endpoint.failures, world.endpoint.active) == (1 - failures, failures, 0)


def test_a_connect_that_is_refused() -> None:
    world = World()
    world.connector.answer["10.0.0.1:6379"] = "refuse"
    pending = world.send(world.session(), "BLPOP q 0")
    with pytest.raises(MeshError, match="connection refused"):
        body(pending)
    assert (world.pool.open, world.endpoint.active) == (0, 0)
    assert world.env.count("upstream_connect_failures_total", "redis", "redis") == 1


def test_those_of_a_priority_with_a_limit_of_its_own_are_kept_apart() -> None:
    upstream = Upstream(limits={"connections": 1, "priorities": {"low": {"connections": 1}}})

    def waits(priority: int) -> tuple[Session, Pending]:
        session = Session([].append, [].append)
        return session, upstream.send("BLPOP q 0", session=session, priority=priority)

    low, default = waits(-1), waits(0)
    for priority in (-1, 0, 1):
        with pytest.raises(MeshError, match="connections of clients' own are taken"):
            waits(priority)
    for which, (session, pending) in enumerate((low, default)):
        lane = upstream.connector.protocols[which]
        lane.dataReceived(b"+OK\r\n" * len(lane._setup) + b":7\r\n*-1\r\n")
        assert body(pending) == b"*-1\r\n"
        session.settle()
    # What is idle goes to its own kind, and what has no limit of its own any more is let go.
    waits(-1)
    assert [each for each in upstream.connector.protocols if each.lost] == []
    assert upstream.env.count("cluster_priority_connections", "main", "low") == 1
    assert len(upstream.connector.protocols) == 2
    upstream.other(limits={"connections": 1})
    assert sorted(upstream.endpoint.pools) == ["redis_session"]


def test_a_reload_has_its_options_hold_for_those_that_are_open() -> None:
    upstream = Upstream()
    session = Session([].append, [].append)
    upstream.send("BLPOP q 0", session=session)
    cluster = upstream.other(limits={"connections": 1})
    assert cluster.describe()["connections"] == {"open": 1, "limit": 1, "waiting": 0}
