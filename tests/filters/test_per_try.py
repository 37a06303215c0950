"""The time of one try, within the time of the call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import FakeEnv, Run, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.filters.per_try import PerTry
from twisted_mesh.filters.retry import Retry, RetrySettings, plugin
from twisted_mesh.park import Parked


class Slow:
    """An upstream whose replies the test gives; it notes what it was told of the time, and what stopped it."""

    def __init__(self, env: FakeEnv, connects: bool = True) -> None:
        self.env = env
        self.connects = connects
        self.open: list[Parked[Reply]] = []
        self.left: list[Any] = []
        self.stopped: list[Kind] = []

    async def __call__(self, call: Call) -> Reply:
        call.attempts += 1
        self.left.append(call.left(self.env.now()))
        if self.connects:
            call.connected = self.env.now()
        parked: Parked[Reply] = Parked()
        self.open.append(parked)
        try:
            return await parked
        except Cancelled as cancelled:
            self.stopped.append(cancelled.kind)
            raise


class World:
    def __init__(self, connects: bool = True, **settings: Any) -> None:
        self.env = FakeEnv()
        self.env.clock.advance(100.0)
        self.upstream = Slow(self.env, connects)
        env: Any = self.env
        self.filter = plugin.build(RetrySettings(per_try_timeout=0.5, **settings), env)
        self.proceed = compose([self.filter], self.upstream)

    def run(self, method: str = "GET", **more: Any) -> Run:
        self.call = a_call(method)
        self.call.received = self.env.now()
        for name, value in more.items():
            setattr(self.call, name, value)
        return Run(self.proceed, self.call)

    def advance(self, seconds: float) -> None:
        self.env.clock.pump([0.025] * round(seconds / 0.025))


def test_a_try_that_takes_too_long_is_stopped_and_there_is_another() -> None:
    world = World()
    run = world.run()
    world.advance(0.45)
    assert len(world.upstream.open) == 1
    world.advance(0.4)
    assert world.upstream.stopped == [Kind.TRY_TIMEOUT]
    assert len(world.upstream.open) == 2
    world.upstream.open[1].fire(Reply(200))
    assert run.reply.status == 200
    world.advance(1.0)
    assert world.env.clock.getDelayedCalls() == []
    assert world.call.try_ends is None


def test_when_the_tries_are_used_up_the_client_hears_so() -> None:
    world = World(attempts=2)
    run = world.run()
    world.advance(2.0)
    assert (run.error.kind, run.error.origin, run.error.flag) == (Kind.TRY_TIMEOUT, Origin.UPSTREAM, "UT")
    assert run.error.detail == "no reply within the 0.5 s of a try"
    assert world.call.flags == ("UT", "URX")
    assert len(world.upstream.open) == 2


@pytest.mark.parametrize(("connects", "tries"), [(True, 1), (False, 2)])
def test_what_may_not_be_done_twice_is_tried_again_only_if_it_was_not_sent(connects: bool, tries: int) -> None:
    world = World(connects, attempts=2)
    run = world.run("POST")
    world.advance(2.0)
    assert run.error.kind is Kind.TRY_TIMEOUT
    assert len(world.upstream.open) == tries


def test_the_only_try_has_its_time_too() -> None:
    world = World(attempts=1)
    run = world.run()
    world.advance(0.6)
    assert run.error.kind is Kind.TRY_TIMEOUT
    assert world.call.flags == ()


def test_an_endpoint_is_told_of_the_least() -> None:
    world = World()
    world.run(timeout=0.7, received=100.0)
    world.run(deadline=100.25)
    world.run()
    assert world.upstream.left == pytest.approx([0.5, 0.25, 0.5])


def test_the_time_in_which_the_request_comes_does_not_count() -> None:
    world = World(attempts=1)
    run = world.run("PUT", received=0.0)
    world.advance(5.0)
    assert run.result is None
    assert world.upstream.left == [None]
    world.call.received = world.env.now()
    world.advance(0.45)
    assert run.result is None
    world.advance(0.1)
    assert run.error.kind is Kind.TRY_TIMEOUT


def test_who_goes_away_is_not_taken_for_a_try_that_is_late() -> None:
    world = World()
    run = world.run()
    gone = Cancelled(Kind.CLIENT_GONE)
    run.driver.cancel(gone)
    assert run.result is gone
    assert world.upstream.stopped == [Kind.CLIENT_GONE]


def test_what_goes_wrong_in_a_try_comes_out() -> None:
    world = World(attempts=1)
    error = MeshError(Kind.BAD_REPLY)
    run = world.run()
    world.upstream.open[0].fail(error)
    assert run.result is error


def test_it_says_how_many_are_under_way() -> None:
    env: Any = FakeEnv()
    layer = PerTry(0.25, env)
    Run(compose([layer], Slow(env)), a_call())
    assert repr(layer) == "<PerTry 0.25 s, 1 under way>"


def test_without_it_a_try_is_no_layer() -> None:
    env: Any = FakeEnv()
    assert isinstance(plugin.build(RetrySettings(), env), Retry)
