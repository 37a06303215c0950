"""Limits of a cluster: who is let in, who waits, who is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import Run
from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.park import Parked
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.room import Limited

A = "127.0.0.1:1"


class World:
    """A cluster with limits, whose calls are answered when `answer` is called."""

    def __init__(self, **limits: Any) -> None:
        self.env = FakeEnv()
        self.cluster = self.made(**limits)
        self.cluster.start()
        self.forward = Limited(self.cluster, "http", self._forward)
        self.parked: list[Parked[Reply]] = []
        self.runs: list[Run] = []
        self.calls: list[Call] = []

    def made(self, **limits: Any) -> Cluster:
        return Cluster("api", cluster_config(A, limits=limits), self.env, FakeConnector())  # type: ignore[arg-type]

    async def _forward(self, call: Call) -> Reply:
        parked: Parked[Reply] = Parked()
        self.parked.append(parked)
        return await parked

    def call(self, count: int = 1) -> None:
        for _ in range(count):
            self.calls.append(a_call())
            self.runs.append(Run(self.forward, self.calls[-1]))

    def end(self, at: int) -> None:
        self.calls[at].complete(0.0, lambda then: None)

    def refused(self) -> list[int]:
        return [at for at, each in enumerate(self.runs) if getattr(each.result, "kind", None) is Kind.OVERFLOW]

    @property
    def about(self) -> Any:
        described: Any = self.cluster.describe()["room"]
        return described["calls"], described["waiting"]


def test_calls_wait_for_their_turn_in_order() -> None:
    world = World(calls=2, waiting=2)
    world.call(4)
    assert len(world.parked) == 2
    assert world.about == (2, 2)
    assert world.env.count("cluster_calls_active", "api") == 2
    assert world.env.count("cluster_calls_waiting", "api") == 2
    world.end(1)
    assert len(world.parked) == 3
    assert world.about == (2, 1)
    world.end(0)
    world.end(2)
    world.end(3)
    assert world.about == (0, 0)
    assert world.env.clock.getDelayedCalls() == []
    assert world.env.count("cluster_calls_active", "api") == 0


def test_a_reply_head_is_not_the_end() -> None:
    world = World(calls=1, waiting=1)
    world.call(2)
    world.parked[0].fire(Reply(200))
    assert world.runs[0].reply.status == 200
    assert world.about == (1, 1)
    world.end(0)
    assert world.about == (1, 0)


def test_what_is_too_much_is_refused_at_once() -> None:
    world = World(calls=1, waiting=1)
    world.call(4)
    assert world.refused() == [2, 3]
    assert world.runs[2].error.detail == "cluster api has 1 calls, and 1 wait"
    assert world.env.count("upstream_overflows_total", "http", "api") == 2


def test_who_has_waited_too_long_is_refused() -> None:
    world = World(calls=1, waiting=5, wait="2s")
    world.call(3)
    world.env.clock.advance(2.0)
    assert world.refused() == [1, 2]
    assert world.runs[1].error.detail == "cluster api had no room within 2 s"
    assert world.about == (1, 0)
    assert world.env.count("upstream_overflows_total", "http", "api") == 2


def test_a_call_that_is_cancelled_while_it_waits_leaves() -> None:
    world = World(calls=1, waiting=5)
    world.call(3)
    world.runs[1].driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert world.about == (1, 1)
    world.end(0)
    assert len(world.parked) == 2
    assert world.calls[2] in world.cluster.room.held  # type: ignore[union-attr]


def test_another_try_of_a_call_needs_no_more_room() -> None:
    world = World(calls=1, waiting=0)
    world.call()
    again = Run(world.forward, world.calls[0])
    assert again.result is None
    assert world.about == (1, 0)
    world.end(0)
    assert world.about == (0, 0)


def test_nobody_overtakes_those_who_wait() -> None:
    world = World(calls=2, waiting=5)
    world.call(3)
    late = a_call()
    assert not world.cluster.room.take(late)  # type: ignore[union-attr]


def test_a_reload_goes_on_with_who_is_there() -> None:
    world = World(calls=1, waiting=5)
    world.call(3)
    old = world.cluster
    given_up = world.made(calls=9)
    given_up.adopt(old)
    assert world.about == (1, 2)
    new = world.made(calls=2, waiting=5)
    new.adopt(old)
    new.start()
    old.stop()
    world.cluster = new
    assert world.about == (2, 1)
    world.end(0)
    world.end(1)
    world.end(2)
    assert world.about == (0, 0)


def test_without_limits_there_is_no_room() -> None:
    cluster = Cluster("api", cluster_config(A), FakeEnv(), FakeConnector())  # type: ignore[arg-type]
    assert cluster.room is None
    assert cluster.describe()["room"] is None


@pytest.mark.parametrize("calls", [1, 3])
def test_it_says_what_it_is(calls: int) -> None:
    world = World(calls=calls)
    world.call()
    assert repr(world.forward) == f"<Limited <Room of api: 1 of {calls} calls, 0 waiting>>"


# --- priorities


class Prioritised(World):
    """A world whose calls have priorities."""

    def call_as(self, *priorities: int) -> None:
        for each in priorities:
            call = a_call()
            call.priority = each
            self.calls.append(call)
            self.runs.append(Run(self.forward, call))


def test_what_matters_more_is_served_first() -> None:
    world = Prioritised(calls=1, waiting=10)
    world.call_as(0, -1, 0, 1, -1, 1, 0)
    served = []
    order = [0, 3, 5, 2, 6, 1, 4]
    for at in order:
        served.append(world.calls[at] in world.cluster.room.held)  # type: ignore[union-attr]
        world.end(at)
    assert served == [True] * 7
    assert world.env.clock.getDelayedCalls() == []


def test_what_matters_less_makes_room_in_a_full_queue() -> None:
    world = Prioritised(calls=1, waiting=2)
    world.call_as(0, -1, 0)
    world.call_as(1)
    assert world.refused() == [1]
    world.call_as(1)
    assert world.refused() == [1, 2]
    # Nobody who waits matters less than these.
    world.call_as(1, 0, -1)
    assert world.refused() == [1, 2, 5, 6, 7]
    assert world.about == (1, 2)
    assert world.env.count("upstream_overflows_total", "http", "api") == 5


def test_a_priority_may_have_limits_of_its_own() -> None:
    world = Prioritised(calls=2, waiting=0, priorities={"low": {"calls": 1, "waiting": 1}, "high": {"calls": 2}})
    world.call_as(0, 0, 0)
    assert world.refused() == [2]
    world.call_as(-1, -1, -1)
    assert world.refused() == [2, 5]
    world.call_as(1, 1, 1)
    assert world.refused() == [2, 5]
    room: Any = world.cluster.describe()["room"]
    assert (room["calls"], room["waiting"]) == (2, 0)
    shown = {name: (each["calls"], each["waiting"]) for name, each in room["priorities"].items()}
    assert shown == {"low": (1, 1), "high": (2, 1)}
    assert world.env.count("cluster_priority_calls_active", "api", "low") == 1
    assert world.env.count("cluster_priority_calls_waiting", "api", "high") == 1
    world.end(3)
    assert world.env.count("cluster_priority_calls_waiting", "api", "low") == 0
    assert len(world.parked) == 6


def test_priorities_follow_a_reload() -> None:
    world = Prioritised(calls=1, waiting=1, priorities={"low": {"calls": 1, "waiting": 1}})
    world.call_as(-1, -1)
    after = world.made(calls=1, waiting=1, priorities={"high": {"calls": 1, "waiting": 0}})
    after.adopt(world.cluster)
    after.start()
    world.cluster.stop()
    world.forward = Limited(after, "http", world._forward)
    # Low has no room of its own any more, what is in the old one goes on there.
    world.call_as(-1, -1, -1, 1, 1)
    assert world.refused() == [4, 6]
    world.end(0)
    assert len(world.parked) == 4
    world.env.clock.advance(1.0)
    assert world.refused() == [3, 4, 6]
