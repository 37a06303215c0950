"""Connections of a cluster that are limited over all of its endpoints."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from tests.filters.drive import Run
from tests.upstream.fakes import FakeEnv, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.upstream.connections import Connections, Portion, Queue


class Pool:
    """A pool whose connections are numbers; one that is closed is gone at once."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.idle: list[Any] = []
        self.waiting: deque[int] = deque()
        self.open = 0
        connections.join(self)

    def want(self) -> None:
        if self.connections.take(self):
            self.open += 1
        else:
            self.waiting.append(1)
            # Where another one spared a connection just now.
            self.next()

    def next(self) -> None:
        while self.waiting and self.connections.free:
            self.waiting.popleft()
            assert self.connections.take(self)
            self.open += 1

    def spare(self) -> bool:
        if not self.idle:
            return False
        self.idle.pop()
        self.lost()
        return True

    def lost(self) -> None:
        self.open -= 1
        self.connections.give()


def test_there_are_no_more_than_the_limit() -> None:
    connections = Connections(2)
    one, two = Pool(connections), Pool(connections)
    one.want()
    two.want()
    two.want()
    assert (one.open, two.open, len(two.waiting)) == (1, 1, 1)
    assert connections.wanted
    assert repr(connections) == "<Connections 2 of 2>"
    assert connections.describe() == {"open": 2, "limit": 2, "waiting": 1}
    one.lost()
    assert (one.open, two.open, len(two.waiting)) == (0, 2, 0)
    assert not connections.wanted


def test_what_one_has_idle_another_gets() -> None:
    connections = Connections(1)
    one, two = Pool(connections), Pool(connections)
    one.want()
    one.idle.append("connection")
    two.want()
    assert (one.open, two.open, connections.open) == (0, 1, 1)


def test_those_that_wait_are_served_in_turn() -> None:
    connections = Connections(1)
    one, two, three = (Pool(connections) for _ in range(3))
    one.want()
    for each in (two, three, two, three):
        each.want()
    served = []
    for _ in range(4):
        holder = next(each for each in (one, two, three) if each.open)
        holder.lost()
        served.append(next(each for each in (one, two, three) if each.open))
    assert served.count(two) == served.count(three) == 2
    assert connections.open == 1


def test_a_larger_limit_serves_those_that_wait() -> None:
    connections = Connections(1)
    one = Pool(connections)
    for _ in range(3):
        one.want()
    connections.configure(3)
    assert one.open == 3
    connections.configure(1)
    assert not connections.free


def test_a_pool_may_come_and_go_with_what_it_has() -> None:
    connections = Connections(3)
    one = Pool(connections)
    connections.leave(one)
    connections.join(one, 2)
    assert connections.open == 2
    two = Pool(connections)
    two.want()
    two.want()
    connections.leave(one, 2)
    assert (connections.open, two.open) == (2, 2)


# --- calls without a pool


class World:
    def __init__(self, limit: int = 1) -> None:
        self.env = FakeEnv()
        self.connections = Connections(limit)
        overflows = self.env.metrics.counter("twisted_mesh_overflows_total", "For the test.").labels()
        self.queue = Queue(self.connections, self.env, overflows)  # type: ignore[arg-type]
        self.given: list[Any] = []

    async def enter(self, call: Call) -> Reply:
        self.given.append(await self.queue.enter(2, 1.0))
        return Reply(200)

    def run(self) -> Run:
        return Run(self.enter, a_call())


def test_calls_wait_for_a_connection() -> None:
    world = World()
    first, second, third = (world.run() for _ in range(3))
    assert (first.reply.status, second.result, third.result) == (200, None, None)
    assert "2 waiting" in repr(world.queue)
    world.given[0]()
    assert second.reply.status == 200
    assert third.result is None
    world.given[1]()
    assert third.reply.status == 200
    assert world.env.clock.getDelayedCalls() == []


def test_not_too_many_wait_and_not_for_too_long() -> None:
    world = World()
    runs = [world.run() for _ in range(4)]
    assert runs[3].error.kind is Kind.OVERFLOW
    assert "2 calls wait for one" in runs[3].error.detail
    world.env.clock.advance(1.0)
    assert [each.error.kind for each in runs[1:3]] == [Kind.OVERFLOW] * 2
    assert world.env.count("overflows_total") == 3
    assert world.env.clock.getDelayedCalls() == []


def test_who_is_cancelled_waits_no_more() -> None:
    world = World()
    _, second = world.run(), world.run()
    second.driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert len(world.queue.waiting) == 0
    world.given[0]()
    assert world.connections.open == 0
    assert world.env.clock.getDelayedCalls() == []


def test_a_queue_has_nothing_to_spare_and_ends() -> None:
    world = World()
    world.run()
    other = Pool(world.connections)
    other.want()
    assert len(other.waiting) == 1
    world.queue.stop()
    world.given[0]()
    assert other.open == 1


@pytest.mark.parametrize("limit", [1, 3])
def test_nothing_is_lost_in_any_order(limit: int) -> None:
    world = World(limit)
    pools = [Pool(world.connections) for _ in range(3)]
    dice = world.env.random
    for _ in range(2000):
        each = dice.choice(pools)
        if dice.random() < 0.5:
            each.want()
        elif each.open > len(each.idle):
            if dice.random() < 0.5 and not world.connections.wanted:
                each.idle.append("connection")
            else:
                each.lost()
        assert world.connections.open == sum(one.open for one in pools) <= limit
        if world.connections.free:
            assert not any(one.waiting for one in pools)


# --- pools in which no call waits


def test_a_portion_takes_what_another_pool_can_spare() -> None:
    connections = Connections(1)
    pool = Pool(connections)
    portion = Portion()
    portion.share(connections, 0)
    assert portion.take()
    assert not portion.take()
    assert not portion.spare()
    portion.give()
    pool.want()
    pool.idle.append("connection")
    assert portion.take()
    assert (pool.open, connections.open) == (0, 1)
    assert not portion.wanted
    pool.want()
    assert portion.wanted
    portion.give()
    portion.next()
    assert (pool.open, connections.open, portion.wanted) == (1, 1, False)


def test_a_portion_may_be_unlimited_again() -> None:
    portion = Portion()
    assert portion.take() and portion.take() and not portion.wanted
    one, two = Connections(5), Connections(5)
    portion.share(one, 2)
    portion.share(one, 2)
    assert (one.open, repr(portion)) == (2, "<Portion of <Connections 2 of 5>>")
    portion.share(two, 2)
    assert (one.open, two.open) == (0, 2)
    portion.share(None, 2)
    assert two.open == 0
    portion.give()


def test_a_portion_spares_what_its_pool_can() -> None:
    connections = Connections(1)
    portion = Portion(lambda: bool(portion.give()) or True)
    portion.share(connections, 1)
    pool = Pool(connections)
    pool.want()
    assert (pool.open, connections.open) == (1, 1)
