"""Another try beside one that takes long: the first good answer counts, and nothing of the other is left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tests.filters.drive import FakeEnv, Run, a_call, cycles_left
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.hedge import HedgeSettings
from twisted_mesh.filters.retry import BackoffSettings, BudgetSettings, RetrySettings, plugin
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

RESET = MeshError(Kind.RESET)


class Try:
    """One try as the upstream sees it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.endpoint: Any = None
        self.parked: Parked[Reply] = Parked()
        self.stopped: Optional[Kind] = None
        self.completed = 0


class World:
    """Three endpoints, which are taken in turn."""

    def __init__(self, after: Optional[float] = 0.1, percentile: Optional[float] = None, **more: Any) -> None:
        self.env = FakeEnv()
        self.env.random.random = lambda: 0.0  # type: ignore[method-assign]
        self.env.clock.advance(100.0)
        env: Any = self.env
        most = more.pop("most", 1)
        settings = RetrySettings(hedge=HedgeSettings(after, percentile, most), when=("reset", "5xx"), **more)
        self.filter = plugin.build(settings, env)
        self.proceed = compose([self.filter], self.upstream)
        self.tries: list[Try] = []
        self.endpoints: list[Any] = ["one", "two", "three"]

    async def upstream(self, call: Call) -> Reply:
        made = Try(call)
        self.tries.append(made)
        call.attempts += 1
        call.endpoint = next((each for each in self.endpoints if each not in call.tried), self.endpoints[0])
        call.connected = self.env.now()
        made.endpoint = call.endpoint
        try:
            reply = await made.parked
        except Cancelled as cancelled:
            made.stopped = cancelled.kind
            raise
        call.on_complete(lambda ended: setattr(made, "completed", made.completed + 1))
        return reply

    def run(self, method: str = "GET", **more: Any) -> Run:
        self.call = a_call(method)
        self.call.cluster = SimpleNamespace(name="api")  # type: ignore[assignment]
        for name, value in more.items():
            setattr(self.call, name, value)
        return Run(self.proceed, self.call)

    def advance(self, seconds: float) -> None:
        self.env.clock.advance(seconds)

    def hedges(self, result: str) -> float:
        return self.env.count("upstream_hedges_total", "http", "api", result)

    def check_over(self) -> None:
        assert self.env.clock.getDelayedCalls() == []
        self.call.complete(self.env.now(), lambda each: pytest.fail(f"{each!r} failed"))
        for each in self.tries:
            assert each.stopped is not None or each.parked.done


def test_what_answers_in_time_has_no_other_beside_it() -> None:
    world = World()
    run = world.run()
    world.advance(0.09)
    world.tries[0].parked.fire(Reply(200))
    assert run.reply.status == 200
    assert len(world.tries) == 1
    world.check_over()
    assert world.tries[0].completed == 1


def test_the_second_wins_and_what_it_left_is_the_calls() -> None:
    world = World()
    run = world.run()
    world.advance(0.1)
    first, second = world.tries
    assert (first.call, first.call.endpoint, second.call.endpoint) == (world.call, "one", "two")
    second.call.context["affinity"] = "two"
    second.parked.fire(Reply(200))
    assert run.reply.status == 200
    assert first.stopped is Kind.CLIENT_GONE
    assert (world.call.endpoint, world.call.attempts, world.call.context) == ("two", 2, {"affinity": "two"})
    assert second.completed == 0, "not before the call is"
    world.check_over()
    assert second.completed == 1
    assert (world.hedges("won"), world.hedges("lost")) == (1, 0)
    assert world.env.count("upstream_retries_total", "http", "api") == 1


def test_the_first_wins_after_all() -> None:
    world = World()
    run = world.run()
    world.advance(0.1)
    first, second = world.tries
    first.parked.fire(Reply(200))
    assert run.reply.status == 200
    assert second.stopped is Kind.CLIENT_GONE
    assert world.call.endpoint == "one"
    world.check_over()
    assert (first.completed, second.completed) == (1, 0)
    assert world.hedges("lost") == 1


@pytest.mark.parametrize("bad", [RESET, Reply(503), MeshError(Kind.OVERFLOW)])
@pytest.mark.parametrize("which", [0, 1])
def test_a_failure_waits_for_the_one_beside_it(which: int, bad: Any) -> None:
    world = World()
    run = world.run()
    world.advance(0.1)
    tries = [world.tries[which], world.tries[1 - which]]
    tries[0].parked.fire(bad) if isinstance(bad, Reply) else tries[0].parked.fail(MeshError(bad.kind))
    assert run.result is None
    world.advance(5.0)
    tries[1].parked.fire(Reply(200))
    assert run.reply.status == 200
    assert len(world.tries) == 2
    world.check_over()


def test_when_all_have_failed_there_is_a_retry() -> None:
    world = World(backoff=BackoffSettings(0.0, 0.0))
    run = world.run()
    world.advance(0.1)
    body = ByteStream()
    world.tries[0].parked.fire(Reply(503, body=body))
    world.tries[1].parked.fail(RESET)
    assert body.cancelled
    world.advance(0.0)
    assert [each.endpoint for each in world.tries] == ["one", "two", "three"]
    world.tries[2].parked.fire(Reply(200))
    assert run.reply.status == 200
    assert world.call.attempts == 3
    world.check_over()


def test_hedges_are_of_the_attempts() -> None:
    world = World(attempts=2)
    run = world.run()
    world.advance(0.1)
    world.tries[0].parked.fail(RESET)
    world.tries[1].parked.fail(RESET)
    assert run.error.kind is Kind.RESET
    assert world.call.flags == ("UR", "URX")
    world.check_over()


def test_a_failure_before_the_delay_is_tried_again_as_ever() -> None:
    world = World(backoff=BackoffSettings(0.0, 0.0))
    run = world.run()
    world.tries[0].parked.fail(RESET)
    world.advance(0.0)
    world.tries[1].parked.fire(Reply(200))
    assert run.reply.status == 200
    assert world.hedges("won") == 0
    world.check_over()


def test_several_one_after_the_other() -> None:
    world = World(most=2)
    run = world.run()
    for _ in range(3):
        world.advance(0.1)
    assert [each.endpoint for each in world.tries] == ["one", "two", "three"]
    world.tries[2].parked.fire(Reply(200))
    assert run.reply.status == 200
    assert [each.stopped for each in world.tries] == [Kind.CLIENT_GONE, Kind.CLIENT_GONE, None]
    world.check_over()


@pytest.mark.parametrize(
    ("method", "more", "tries"),
    [
        ("GET", {}, 2),
        ("PUT", {"body": b"x"}, 2),
        ("POST", {}, 1),
        ("GET", {"upgrade": "websocket"}, 1),
        ("PUT", {"body": ByteStream(replay=True)}, 1),
        ("CONNECT", {"protocol": "tcp", "body": ByteStream()}, 2),
    ],
)
def test_only_what_may_be_done_twice(method: str, more: Any, tries: int) -> None:
    world = World()
    world.run(method, **more)
    world.advance(1.0)
    assert len(world.tries) == tries


def test_what_would_overtake_others_of_its_client_has_none() -> None:
    world = World()
    run = world.run(repeats=lambda: False)
    world.advance(1.0)
    assert len(world.tries) == 1
    world.tries[0].parked.fire(Reply(200))
    assert run.reply is not None and run.reply.status == 200
    world.check_over()


def test_the_budget_bounds_them() -> None:
    world = World(budget=BudgetSettings(percent=0, least=0.2))
    for _ in range(5):
        world.run()
    world.advance(1.0)
    assert len(world.tries) == 7
    assert world.env.count("upstream_retries_refused_total", "http", "api") == 3


def test_what_waits_for_room_in_its_cluster_has_none() -> None:
    """Another would only fill the queue; nothing has been sent yet."""
    world = World()

    async def waits(call: Call) -> Reply:
        world.tries.append(Try(call))
        return await world.tries[-1].parked

    world.proceed = compose([plugin.build(RetrySettings(hedge=HedgeSettings(0.1)), world.env)], waits)  # type: ignore[arg-type]
    world.run()
    world.advance(1.0)
    assert len(world.tries) == 1


@pytest.mark.parametrize("hedged", [False, True])
def test_who_goes_away_stops_all(hedged: bool) -> None:
    world = World()
    run = world.run()
    if hedged:
        world.advance(0.1)
    gone = Cancelled(Kind.DRAINING)
    run.driver.cancel(gone)
    assert run.result is gone
    assert {each.stopped for each in world.tries} == {Kind.DRAINING}
    world.check_over()


def test_a_bug_comes_out_at_once() -> None:
    world, error = World(), ValueError("oops")
    run = world.run()
    world.advance(0.1)
    world.tries[1].parked.fail(error)
    assert run.result is error
    assert world.tries[0].stopped is Kind.CLIENT_GONE


def test_the_copy_may_change_its_headers() -> None:
    world = World()
    world.run()
    world.advance(0.1)
    world.tries[1].call.headers.set("x-try", "2")
    assert "x-try" not in world.call.headers


def answered(world: World, seconds: float) -> None:
    run = world.run()
    world.advance(seconds)
    world.tries[-1].parked.fire(Reply(200))
    assert run.reply.status == 200


def test_by_a_percentile_of_the_latencies_of_late() -> None:
    world = World(after=None, percentile=90.0)
    for _ in range(50):
        answered(world, 0.02)
    world.tries.clear()
    world.run()
    world.advance(0.015)
    assert len(world.tries) == 1
    world.advance(0.007)
    assert len(world.tries) == 2


def test_too_little_is_known_for_a_percentile() -> None:
    world = World(after=None, percentile=90.0)
    for _ in range(49):
        answered(world, 0.02)
    world.tries.clear()
    world.run()
    world.advance(5.0)
    assert len(world.tries) == 1


def test_of_delay_and_percentile_the_longer() -> None:
    world = World(after=0.05, percentile=50.0)
    for _ in range(60):
        answered(world, 0.001)
    world.tries.clear()
    world.run()
    world.advance(0.04)
    assert len(world.tries) == 1
    world.advance(0.01)
    assert len(world.tries) == 2


@pytest.mark.parametrize("how", ["wins", "loses", "gone", "fails"])
def test_no_call_leaves_a_cycle_behind(how: str) -> None:
    """The garbage collector would have to find it, and stops the loop for that."""

    world, tries = World(budget=None, attempts=2), []

    async def upstream(call: Call) -> Reply:
        call.attempts += 1
        tries.append(Parked())
        reply: Reply = await tries[-1]
        return reply

    proceed = compose([world.filter], upstream)

    def once() -> None:
        call = a_call()
        driver = Driver(call, lambda call, reply, error: None)
        driver.start(proceed)
        world.advance(0.1)
        if how == "gone":
            driver.cancel(Cancelled(Kind.CLIENT_GONE))
        elif how == "fails":
            for each in tries:
                each.fail(MeshError(Kind.BAD_REPLY))
        else:
            tries[how == "wins"].fire(Reply(200))
        assert driver.finished
        call.complete(world.env.now(), lambda each: pytest.fail(f"{each!r} failed"))
        tries.clear()

    assert cycles_left(once) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "after, percentile or both"),
        ({"percentile": 100.0}, "between 0 and 100"),
        ({"after": 1.0, "most": 0}, "1 or more"),
    ],
)
def test_settings_are_checked(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HedgeSettings(**wrong)
