"""The connections to one endpoint: lent, kept, bounded, waited for, and never lost count of."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeEnv, a_call
from tests.upstream.server import Sent, World
from tests.upstream.test_connections import Pool as Other
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.codec.response import ResponseReader
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.model import Address, Pool
from twisted_mesh.park import Parked
from twisted_mesh.upstream.connections import Connections
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.pool import LOG_EVERY, HttpPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GONE = Cancelled(Kind.CLIENT_GONE)
REFUSED = MeshError(Kind.CONNECT_FAILED, "refused", retryable=True)


# --- lent and kept


def test_a_connection_is_used_again() -> None:
    world = World()
    for _ in range(3):
        sent = world.send()
        world.link.say(OK)
        assert sent.reply.body == b"ok"
    assert len(world.server.links) == 1
    assert repr(world.pool) == "<HttpPool 1 open, 1 idle, 0 waiting>"
    assert world.env.count("upstream_connects_total", "http", "api") == 1
    world.check_over()


def test_the_one_used_last_is_lent_first() -> None:
    """So that those which are not needed grow old."""
    world = World()
    world.send()
    world.send()
    first, second = world.server.links
    second.say(OK)
    first.say(OK)
    for _ in range(3):
        world.send()
        first.say(OK)
    assert second.take().count(b"GET ") == 1
    world.check_over()


def test_what_is_not_needed_is_closed_when_it_has_been_idle() -> None:
    world = World(idle_timeout="10s")
    world.send()
    world.send()
    first, second = world.server.links
    first.say(OK)
    world.advance(6)
    second.say(OK)
    world.advance(5)
    assert (first.ended, second.ended) == ("closed", "")
    assert repr(world.pool) == "<HttpPool 1 open, 1 idle, 0 waiting>"
    world.advance(6)
    assert second.ended == "closed"
    assert world.pool.open == 0
    world.check_over()


def test_an_endpoint_that_always_sends_too_much_does_not_fill_the_log() -> None:
    world = World()
    for _ in range(5):
        sent = world.send()
        world.link.say(OK + b"more")
        assert sent.reply.body == b"ok"
        assert world.link.ended
    assert len(world.env.said) == 1 and "sent bytes behind its answer" in world.env.said[0]
    world.advance(LOG_EVERY)
    world.send()
    world.link.say(OK + b"more")
    assert "(4 more since the last line)" in world.env.said[1]
    world.check_over()


def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    world = World(max_idle=1)
    for _ in range(3):
        world.send()
    for each in world.server.links:
        each.say(OK)
    world.advance()
    assert [each.ended for each in world.server.links] == ["", "closed", "closed"]
    assert world.pool.open == 1
    world.check_over()


def test_a_connection_is_used_no_more_often_than_allowed() -> None:
    world = World(max_requests=2)
    for _ in range(4):
        world.send()
        world.link.say(OK)
        world.advance()
    assert [each.take().count(b"GET ") for each in world.server.links] == [2, 2]
    world.check_over()


def test_a_connection_that_closes_while_idle_is_forgotten() -> None:
    for ends in ("close", "reset"):
        world = World()
        world.send()
        world.link.say(OK)
        getattr(world.link, ends)()
        assert repr(world.pool) == "<HttpPool 0 open, 0 idle, 0 waiting>"
        world.send()
        assert len(world.server.links) == 2
        world.link.say(OK)
        world.check_over()


def test_a_connection_that_speaks_while_idle_is_closed() -> None:
    """What it said must not become the answer to the next request; the log tells of it."""
    world = World()
    world.send()
    world.link.say(OK)
    world.link.say(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert world.link.ended == "reset"
    assert any("bytes behind its answer" in line for line in world.env.said)
    sent = world.send()
    world.link.say(OK)
    assert sent.reply.status == 200
    world.check_over()


# --- limits


def test_past_the_limit_calls_wait_in_order() -> None:
    world = World(max_connections=2)
    sent = [world.send() for _ in range(5)]
    assert repr(world.pool) == "<HttpPool 2 open, 0 idle, 3 waiting>"
    world.server.links[0].say(OK)
    world.server.links[1].say(OK)
    world.server.links[0].say(OK)
    assert [each.waiting for each in sent] == [False, False, False, True, True]
    world.server.links[1].say(OK)
    world.server.links[0].say(OK)
    assert not any(each.waiting for each in sent)
    assert len(world.server.links) == 2
    assert world.endpoint.successes == 5
    world.check_over()


def test_a_place_is_free_when_a_connection_is_lost() -> None:
    world = World(max_connections=1)
    first, second = world.send(), world.send()
    world.link.reset()
    assert first.error.kind is Kind.RESET
    assert len(world.server.links) == 2
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


def test_a_place_is_free_when_a_connection_is_not_kept() -> None:
    world = World(max_connections=1, max_idle=0)
    first, second = world.send(), world.send()
    world.link.say(OK)
    world.advance()
    assert first.reply.status == 200
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


def test_no_more_calls_wait_than_allowed() -> None:
    world = World(max_connections=1, max_pending=1)
    first, second, third = world.send(), world.send(), world.send()
    assert third.error.kind is Kind.OVERFLOW
    assert third.error.origin is Origin.MESH and not third.error.retryable
    assert "10.0.0.1:80" in third.error.detail
    assert world.env.count("upstream_overflows_total", "http", "api") == 1
    assert world.endpoint.failures == 0
    for each in (first, second):
        world.link.say(OK)
        assert each.reply.status == 200
    world.check_over()


@pytest.mark.parametrize(("options", "seconds"), [({}, 1.0), ({"pending_timeout": "3s"}, 3.0)])
def test_no_call_waits_longer_than_allowed(options: Any, seconds: float) -> None:
    """As long as a connect may take, unless something else is configured."""
    world = World(max_connections=1, **options)
    first, second = world.send(), world.send()
    world.advance(seconds - 0.01)
    assert second.waiting
    world.advance(0.02)
    assert second.error.kind is Kind.OVERFLOW
    world.link.say(OK)
    assert first.reply.status == 200
    world.check_over()


def test_no_wait_at_all() -> None:
    world = World(max_connections=1, max_pending=0)
    first, second = world.send(), world.send()
    assert second.error.kind is Kind.OVERFLOW
    world.link.say(OK)
    assert first.reply.status == 200
    world.check_over()


# --- connects that fail


def test_a_connect_that_fails_leaves_no_trace() -> None:
    world = World(max_connections=1)
    world.server.answer = "refuse"
    for _ in range(3):
        assert world.send().error.kind is Kind.CONNECT_FAILED
    assert world.pool.open == 0
    assert world.env.count("upstream_connect_failures_total", "http", "api") == 3
    assert world.endpoint.failures == 3
    world.check_over()


def test_a_connect_that_takes_too_long_is_counted_as_such() -> None:
    world = World()
    world.server.answer = "wait"
    sent = world.send()
    [(parked, _)] = world.server.waiting
    parked.fail(MeshError(Kind.CONNECT_TIMEOUT, origin=Origin.UPSTREAM, retryable=True))
    assert sent.error.kind is Kind.CONNECT_TIMEOUT
    assert world.env.count("upstream_connect_timeouts_total", "http", "api") == 1
    world.check_over()


class FirstHangs:
    """The first connect waits; those after it fail at once, as those to a missing unix socket do."""

    def __init__(self) -> None:
        self.first: Optional[Parked[None]] = None

    def connect(self, address: Address, protocol: Any, timeout: float) -> Parked[None]:
        parked: Parked[None] = Parked()
        if self.first is None:
            self.first = parked
        else:
            parked.fail(MeshError(Kind.CONNECT_FAILED, "refused", retryable=True))
        return parked


def test_a_thousand_calls_whose_connects_fail_at_once_all_hear_of_it() -> None:
    env, connector = FakeEnv(), FirstHangs()
    endpoint = Endpoint(Address.parse("10.0.0.1:80"))
    options = Pool(max_connections=1, max_pending=2000)
    cells = Families(env.metrics).upstream("http", "api")
    pool = HttpPool(endpoint, options, 1.0, env, connector, ResponseReader(), cells)  # type: ignore[arg-type]
    outcomes: Counter[str] = Counter()

    async def connects(call: Call) -> Reply:
        await pool.connect()
        return Reply(200)

    def done(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        outcomes[str(error)] += 1

    for _ in range(1500):
        Driver(a_call(), done).start(connects)
    assert repr(pool) == "<HttpPool 1 open, 0 idle, 1499 waiting>"
    assert connector.first is not None
    connector.first.fail(REFUSED)
    assert outcomes == {"connect_failed: refused": 1500}
    assert repr(pool) == "<HttpPool 0 open, 0 idle, 0 waiting>"
    assert env.clock.getDelayedCalls() == []


# --- cancelled in every phase


def cancel(sent: Sent) -> None:
    sent.driver.cancel(GONE)
    assert isinstance(sent.outcome, Cancelled)


def test_cancelled_while_it_waits() -> None:
    """Its turn is nobody's: the next one gets the connection."""
    world = World(max_connections=1)
    first, second, third = world.send(), world.send(), world.send()
    cancel(second)
    assert repr(world.pool) == "<HttpPool 1 open, 0 idle, 1 waiting>"
    world.link.say(OK)
    world.link.say(OK)
    assert (first.reply.status, third.reply.status) == (200, 200)
    world.check_over()


def test_cancelled_while_it_connects() -> None:
    """The place is free for the next, and the connection that is made later is nobody's."""
    world = World(max_connections=1)
    world.server.answer = "wait"
    first, second = world.send(), world.send()
    assert len(world.server.waiting) == 1
    cancel(first)
    assert len(world.server.waiting) == 2
    world.server.let()
    assert len(world.server.links) == 1
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


def test_cancelled_while_it_exchanges() -> None:
    """The connection is closed, so that the server stops working on it, and its place is free."""
    world = World(max_connections=1)
    first, second = world.send(), world.send()
    busy = world.link
    cancel(first)
    assert busy.ended == "reset"
    assert busy is not world.link
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


def test_cancelled_within_a_reply() -> None:
    world = World()
    sent = world.send()
    world.link.say(OK[:-1])
    assert world.endpoint.active == 1
    sent.body.cancel()
    assert world.link.ended == "reset"
    assert world.endpoint.active == 0
    world.check_over()


# --- drain


def test_a_pool_that_drains_lends_no_more_of_what_it_had() -> None:
    world = World()
    world.send()
    busy = world.send()
    idle, used = world.server.links
    idle.say(OK)
    world.pool.drain()
    assert repr(world.pool) == "<HttpPool draining 2 open, 0 idle, 0 waiting>"
    world.advance()
    assert (idle.ended, used.ended) == ("closed", "")
    used.say(OK)
    assert busy.reply.status == 200
    world.advance()
    assert used.ended == "closed"
    world.check_over()


def test_calls_that_wait_when_a_pool_drains_are_served() -> None:
    world = World(max_connections=1)
    first, second = world.send(), world.send()
    world.pool.drain()
    world.link.say(OK)
    world.advance()
    assert first.reply.status == 200
    assert len(world.server.links) == 2
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


def test_options_may_change() -> None:
    world = World(max_connections=1)
    first, second = world.send(), world.send()
    assert second.waiting
    world.pool.configure(Pool(max_connections=2, max_idle=0), 1.0)
    assert len(world.server.links) == 2, "who waits must not wait for a connection to come back"
    world.server.links[0].say(OK)
    world.advance()
    assert (first.reply.status, world.server.links[0].ended) == (200, "closed")
    world.link.say(OK)
    assert second.reply.status == 200
    world.check_over()


# --- connections of the whole cluster


def shared(world: World, limit: int) -> tuple[Connections, Other]:
    """Have the pool of a world share so many connections with another pool."""
    connections = Connections(limit)
    world.pool.configure(world.pool.options, 1.0, connections)
    return connections, Other(connections)


def test_another_pool_gets_what_is_idle_and_gives_it_back() -> None:
    world = World()
    world.send()
    world.link.say(OK)
    connections, other = shared(world, 1)
    other.want()
    world.advance()
    assert (world.pool.open, other.open, connections.open) == (0, 1, 1)
    waiting = world.send()
    assert waiting.waiting
    other.lost()
    world.link.say(OK)
    assert waiting.reply.status == 200
    world.check_over()
    assert connections.open == 0
    # A pool that has ended shares nothing any more.
    other.want()
    assert "1 of 1" in repr(connections)


def test_a_connection_is_not_kept_while_another_pool_needs_its_place() -> None:
    world = World()
    world.send()
    connections, other = shared(world, 1)
    other.want()
    assert len(other.waiting) == 1
    world.link.say(OK)
    world.advance()
    assert (world.pool.open, other.open, connections.open) == (0, 1, 1)
    other.lost()
    world.check_over()


def test_a_connect_that_fails_gives_its_place_back() -> None:
    world = World()
    world.send()
    world.link.say(OK)
    connections, other = shared(world, 2)
    world.server.answer = "refuse"
    first, second = world.send(), world.send()
    world.link.say(OK)
    assert (first.reply.status, second.error.kind) == (200, Kind.CONNECT_FAILED)
    assert connections.open == 1
    other.want()
    assert connections.open == 2
    other.lost()
    world.check_over()
