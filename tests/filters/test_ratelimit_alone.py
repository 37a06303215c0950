"""What a sidecar admits of a shared limit while it is alone."""

from __future__ import annotations

from typing import Any

from twisted_mesh.filters.ratelimit_alone import LOG_EVERY, Alone
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.gcra import Gcra
from twisted_mesh.policy.rate_lease import RateLease
from twisted_mesh.testing import Env


class Limit:
    name = "api"
    sidecars = 4
    connected = True


class World:
    def __init__(self, count: float = 100, burst: int = 100, cost: int = 1) -> None:
        self.env = Env()
        self.limit: Any = Limit()
        self.gcra = Gcra(count, 1.0, burst)
        self.cell = Registry().counter("twisted_mesh_filter_test_total", "Calls.").labels()
        self.alone = Alone(self.limit, self.gcra, cost, self.env, self.cell)
        self.lease = RateLease(self.gcra, self.env.now())

    def admitted(self, times: int, units: int = 1) -> int:
        return sum(self.alone.decide(self.lease, units).admitted for _ in range(times))


def test_the_limit_is_divided_by_their_number() -> None:
    world = World()
    assert world.admitted(100) == 25
    assert world.cell.value == 100
    world.env.advance(0.4)
    assert world.admitted(100) == 10


def test_when_there_are_more_of_them_the_share_is_smaller() -> None:
    world = World()
    world.admitted(100)
    world.limit.sidecars = 10
    world.env.advance(1.0)
    assert world.admitted(100) == 10


def test_one_call_is_admitted_however_many_they_are_and_whatever_it_costs() -> None:
    world = World(count=5, burst=5, cost=3)
    world.limit.sidecars = 50
    assert world.admitted(10, 3) == 1
    world.env.advance(1000.0)
    assert world.admitted(10, 5) == 1


def test_it_is_said_when_it_begins_and_when_it_ends_but_seldom() -> None:
    world = World()
    world.limit.connected = False
    world.admitted(5)
    world.alone.because("")
    world.admitted(5)
    begins = "Redis is away: of the shared limit api one part in 4 is admitted here until it answers"
    assert world.env.logged == [begins]
    assert repr(world.alone) == "<Alone Redis is away>"
    world.env.advance(LOG_EVERY)
    world.alone.because("")
    assert world.env.logged[1:] == ["the limit api is shared again"]
