"""Filters for some calls only, and filters that run beside their calls."""

from __future__ import annotations

import random
from typing import Any, Awaitable, Optional

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger

from tests.filters.drive import Run
from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Filter, Proceed
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.shadow import Sampled, Shadow


class FakeEnv:
    """An Env with a Clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.random = random.Random(1)
        self.metrics = Registry()
        self.log = Logger("test")
        self.name = "listeners/edge/probe"

    def now(self) -> float:
        return float(self.clock.seconds())


class World:
    """One shadowed filter in front of an upstream that answers at once, or when told."""

    def __init__(self, inner: Filter, percent: float = 100.0, wait: bool = False) -> None:
        self.env = FakeEnv()
        self.shadow = Shadow(inner, "probe", percent, self.env)  # type: ignore[arg-type]
        self.waiting: Optional[Parked[Reply]] = Parked() if wait else None
        self.reply = Reply(200, Headers.of([("x-from", "upstream")]), b"hello")
        self.seen: list[tuple[str, Optional[str]]] = []
        self.outcome: list[tuple[Optional[Reply], Optional[BaseException]]] = []
        self.call = Call("http", "edge", "GET", Headers.of([("x-who", "client")]))

    async def upstream(self, call: Call) -> Reply:
        assert call is self.call
        self.seen.append((call.operation, call.headers.get("x-who")))
        if self.waiting is not None:
            return await self.waiting
        return self.reply

    def run(self) -> Driver:
        driver = Driver(self.call, lambda call, reply, error: self.outcome.append((reply, error)))
        driver.start(compose([self.shadow], self.upstream))
        return driver

    def end(self) -> None:
        self.call.status = 200
        self.call.complete(9.0, lambda completion: pytest.fail("a completion failed"))

    def decisions(self) -> dict[str, float]:
        series = Families(self.env.metrics).filter_decisions.series()
        return {labels[2]: cell.value for labels, cell in series if labels[:2] == ("probe", "shadow")}


async def passing(call: Call, proceed: Proceed) -> Reply:
    return await proceed(call)


async def refusing(call: Call, proceed: Proceed) -> Reply:
    raise MeshError(Kind.DENIED, "not you")


async def replying(call: Call, proceed: Proceed) -> Reply:
    return Reply(403, local=True)


async def changing_call(call: Call, proceed: Proceed) -> Reply:
    call.headers.set("x-who", "filter")
    call.operation = "DELETE"
    call.context["probe"] = 1
    return await proceed(call)


async def changing_reply(call: Call, proceed: Proceed) -> Reply:
    reply = await proceed(call)
    reply.headers.set("x-from", "filter")
    reply.body = b"changed"
    return reply


async def refusing_reply(call: Call, proceed: Proceed) -> Reply:
    await proceed(call)
    raise MeshError(Kind.DENIED, "not with this answer")


async def broken(call: Call, proceed: Proceed) -> Reply:
    raise ZeroDivisionError("oops")


async def twice(call: Call, proceed: Proceed) -> Reply:
    await proceed(call)
    return await proceed(call)


def plain(call: Call, proceed: Proceed) -> Awaitable[Reply]:
    return proceed(call)


@pytest.mark.parametrize(
    ("inner", "decision"),
    [
        (passing, "pass"),
        (plain, "pass"),
        (twice, "repeat"),
        (refusing, "refuse"),
        (replying, "reply"),
        (changing_call, "change"),
        (changing_reply, "change"),
        (refusing_reply, "refuse"),
        (broken, "error"),
    ],
)
def test_the_decision_is_recorded_and_the_call_goes_on_untouched(inner: Filter, decision: str) -> None:
    world = World(inner)
    world.run()
    world.end()
    assert world.seen == [("GET", "client")]
    assert world.outcome == [(world.reply, None)]
    assert world.reply.headers.get("x-from") == "upstream"
    assert world.reply.body == b"hello"
    left = {} if decision == "pass" else {"log": {"shadow": {"probe": decision}}}
    assert world.call.context == left
    assert world.decisions() == {decision: 1}
    assert world.shadow.active == 0
    assert world.env.clock.getDelayedCalls() == []


def test_redis_commands_are_shadowed_too() -> None:
    async def changing(call: Call, proceed: Proceed) -> Reply:
        call.headers.set("x-left", "there")
        reply = await proceed(call)
        reply.headers.set("x-left", "there")
        return reply

    world, upstream = World(changing), Echo()
    call = several("GET a", "GET b")
    run = Run(compose([world.shadow], upstream), call)
    assert lines(run.reply) == ["+GET a", "+GET b"]
    # A decision for each command.
    assert world.decisions() == {"change": 2}
    assert list(call.headers.fields) == list(run.reply.headers.fields) == []


def test_too_many_at_work_are_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.shadow.MOST_TRIALS", 0)
    world = World(refusing)
    world.run()
    assert world.outcome == [(world.reply, None)]
    assert world.decisions() == {"skipped": 1}


def test_a_filter_that_breaks_for_every_call_is_logged_once_a_second() -> None:
    """With its traceback, and how often it was; each is counted."""
    shadow = World(broken).shadow
    lines: list[Any] = []
    shadow.env.log = Logger("test", observer=lines.append)  # type: ignore[attr-defined]

    async def upstream(call: Call) -> Reply:
        return Reply(200)

    for _ in range(30):
        Driver(Call("http", "edge", "GET", Headers()), lambda call, reply, error: None).start(
            compose([shadow], upstream)
        )
        shadow.env.clock.advance(0.125)  # type: ignore[attr-defined]
    failures = [each["more"] for each in lines if "log_failure" in each]
    assert failures == ["", *[" (7 more since the last line)"] * 3]
    assert Families(shadow.env.metrics).filter_errors.labels("probe").value == 30


@pytest.mark.parametrize(("percent", "low", "high"), [(0.0, 0, 0), (100.0, 1000, 1000), (30.0, 250, 350)])
def test_a_percentage_of_the_calls_is_shadowed(percent: float, low: int, high: int) -> None:
    shadow = World(refusing, percent).shadow

    async def upstream(call: Call) -> Reply:
        return Reply(200)

    for _ in range(1000):
        Driver(Call("http", "edge", "GET", Headers()), lambda call, reply, error: None).start(
            compose([shadow], upstream)
        )
    series = Families(shadow.env.metrics).filter_decisions.series()
    assert low <= sum(cell.value for _, cell in series) <= high


@pytest.mark.parametrize(("percent", "low", "high"), [(0.0, 0, 0), (100.0, 1000, 1000), (30.0, 250, 350)])
def test_a_percentage_of_the_calls_is_enforced(percent: float, low: int, high: int) -> None:
    sampled = Sampled(refusing, percent, FakeEnv())  # type: ignore[arg-type]
    refused = []

    async def upstream(call: Call) -> Reply:
        return Reply(200)

    for _ in range(1000):
        driver = Driver(Call("http", "edge", "GET", Headers()), lambda call, reply, error: refused.append(error))
        driver.start(compose([sampled], upstream))
    assert low <= sum(each is not None for each in refused) <= high


async def _named_otherwise(the_call: Call, rest: Proceed) -> Reply:
    return await rest(the_call)


def test_a_shadowed_filter_may_name_its_parameters_as_it_likes() -> None:
    world = World(_named_otherwise)  # type: ignore[arg-type]
    world.run()
    world.end()
    assert world.decisions() == {"pass": 1}
