"""How long filters take."""

from __future__ import annotations

from typing import Any, Awaitable, Optional

import pytest

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.route import Route, Table
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Observer, Proceed
from twisted_mesh.metrics import HistogramCell
from twisted_mesh.testing import Env
from twisted_mesh.timing import EVERY, Timings


class Watching(Observer):
    def __init__(self, env: Env) -> None:
        self.seen = 0

        def ended(call: Call) -> None:
            self.seen += 1
            env.advance(0.002)

        self.observe: Completion = ended


class Adapter:
    chain: Proceed


class World:
    def __init__(self) -> None:
        self.env = Env()
        self.timings = Timings(self.env)
        self.outcomes: list[Any] = []

    def cell(self, name: str) -> HistogramCell:
        family: Any = self.env.metrics.family("twisted_mesh_filter_duration_seconds")
        cell: HistogramCell = family.labels(name)
        return cell

    def counts(self, *names: str) -> list[int]:
        return [self.cell(each).count for each in names]

    def run(self, proceed: Proceed) -> Call:
        call = Call("http", "edge", "GET", Headers())
        Driver(call, lambda call, reply, error: self.outcomes.append(reply or error)).start(proceed)
        return call

    async def slow(self, call: Call, proceed: Proceed) -> Reply:
        await self.env.sleep(0.5)
        return await proceed(call)

    def plain(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        return proceed(call)

    async def upstream(self, call: Call) -> Reply:
        await self.env.sleep(2.0)
        return Reply(200)


def test_the_time_in_a_filter_is_its_own() -> None:
    world = World()
    world.run(world.timings.compose([("slow", world.slow), ("plain", world.plain)], world.upstream))
    world.env.advance(0.5)
    world.env.advance(2.0)
    assert world.outcomes[0].status == 200
    assert world.counts("slow", "plain") == [1, 1]
    assert world.cell("slow").total == pytest.approx(0.5)
    assert world.cell("plain").total == pytest.approx(0.0)


def test_filters_that_only_observe_are_timed_at_the_end() -> None:
    world = World()
    watching = Watching(world.env)
    call = world.run(world.timings.compose([("log", watching)], world.upstream))
    assert world.counts("log") == [0]
    call.complete(1.0, lambda completion: pytest.fail("it failed"))
    assert watching.seen == 1
    assert world.cell("log").total == pytest.approx(0.002)


def test_filters_that_fail_are_timed_too() -> None:
    world = World()

    async def failing(call: Call, proceed: Proceed) -> Reply:
        raise MeshError(Kind.DENIED)

    def mistaken(call: Call, proceed: Proceed) -> Any:
        return None

    world.run(world.timings.compose([("slow", world.slow), ("failing", failing)], world.upstream))
    world.env.advance(0.5)
    assert isinstance(world.outcomes[0], MeshError)
    world.run(world.timings.compose([("mistaken", mistaken)], world.upstream))
    assert isinstance(world.outcomes[1], TypeError)
    assert world.counts("slow", "failing", "mistaken") == [1, 1, 1]


def routed(world: World, timed: bool = True) -> Route:
    layers = [("plain", world.plain)]
    make = (lambda: world.timings.compose(layers, world.upstream)) if timed else None
    return Route("only", compose([world.plain], world.upstream), timed=make)


def watched(world: World, route: Optional[Route] = None) -> Adapter:
    table = Table([route or routed(world)])
    adapter = Adapter()
    adapter.chain = compose([world.plain], table.proceed)
    world.timings.watch(adapter, lambda: world.timings.listener([("outer", world.plain)], table.proceed))
    return adapter


def test_few_calls_are_timed() -> None:
    world = World()
    adapter = watched(world)
    world.run(adapter.chain)
    chain = adapter.chain
    for _ in range(10):
        world.run(adapter.chain)
    assert adapter.chain is chain
    world.env.advance(10.0)
    # One of the listener, and the next one on the route; they are counted when they are answered.
    assert world.counts("outer", "plain") == [1, 1]
    assert adapter.chain is not chain
    for _ in range(3):
        world.run(adapter.chain)
        world.env.advance(EVERY)
    world.env.advance(10.0)
    assert world.counts("outer", "plain") == [4, 3]


def test_a_listener_that_is_idle_has_no_timer() -> None:
    world = World()
    adapter = watched(world)
    assert world.env.clock.getDelayedCalls() == []
    world.run(adapter.chain)
    world.env.advance(10.0)
    assert world.env.clock.getDelayedCalls() == []


def test_routes_without_filters_are_not_timed() -> None:
    world = World()
    route = routed(world, timed=False)
    adapter = watched(world, route)
    plain = route.proceed
    world.run(adapter.chain)
    assert route.proceed is plain


def test_a_chain_that_was_replaced_is_not_brought_back() -> None:
    world = World()
    adapter = watched(world)
    armed = adapter.chain
    other = adapter.chain = compose([world.plain], world.upstream)
    world.run(armed)
    assert adapter.chain is other
    world.env.advance(10.0)
    assert adapter.chain is other
    adapter = watched(world)
    world.run(adapter.chain)
    adapter.chain = other
    world.env.advance(10.0)
    assert adapter.chain is other


def test_what_stands_in_says_so() -> None:
    world = World()
    assert "timed once" in repr(watched(world).chain)
