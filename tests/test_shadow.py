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
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Filter, Proceed
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.shadow import Sampled, Shadow
from twisted_mesh.shadow_trial import AFTERWARDS
from twisted_mesh.stream import ByteStream


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
        (twice, "pass"),
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


def test_a_decision_stands_in_the_log_line_of_its_call() -> None:
    world = World(refusing)
    left = {"mine": 1}
    world.call.context["log"] = left
    world.run()
    assert world.call.context["log"] == {"mine": 1, "shadow": {"probe": "refuse"}}
    # Two filters of one name in a chain.
    second = World(replying)
    second.call = world.call
    second.run()
    decisions = world.call.context["log"]["shadow"]
    assert decisions == {"probe": "refuse", "probe#2": "reply"}
    assert str(decisions) == "probe:refuse,probe#2:reply"


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


def test_a_pass_stands_in_no_log_line() -> None:
    world = World(passing)
    world.run()
    assert world.call._context is None


def test_what_a_filter_wants_logged_is_left_alone() -> None:
    async def leaving(call: Call, proceed: Proceed) -> Reply:
        call.context["log"]["more"] = 2
        raise MeshError(Kind.DENIED)

    world = World(leaving)
    world.call.context["log"] = {"mine": 1}
    world.run()
    assert world.call.context["log"] == {"mine": 1, "shadow": {"probe": "refuse"}}
    world = World(refusing)
    world.call.context["log"] = "a text"
    world.run()
    assert world.call.context["log"] == "a text"


def test_a_decision_that_comes_too_late_stands_in_no_log_line() -> None:
    async def slow(call: Call, proceed: Proceed) -> Reply:
        await proceed(call)
        await Parked()
        raise AssertionError

    world = World(slow)
    world.run()
    world.end()
    world.env.clock.advance(AFTERWARDS)
    assert world.decisions() == {"unfinished": 1}
    assert world.call._context is None


def test_the_real_failure_is_what_the_call_gets() -> None:
    async def hiding(call: Call, proceed: Proceed) -> Reply:
        try:
            return await proceed(call)
        except MeshError:
            return Reply(200, local=True)

    world = World(hiding, wait=True)
    world.run()
    assert world.waiting is not None
    world.waiting.fail(MeshError(Kind.RESET, "gone"))
    [(reply, error)] = world.outcome
    assert reply is None
    assert isinstance(error, MeshError)
    assert error.kind is Kind.RESET
    assert world.decisions() == {"change": 1}


def test_a_failure_that_the_filter_lets_through_is_a_pass() -> None:
    world = World(passing, wait=True)
    world.run()
    assert world.waiting is not None
    world.waiting.fail(MeshError(Kind.RESET, "gone"))
    assert world.decisions() == {"pass": 1}


def test_a_filter_that_waits_does_not_hold_the_call() -> None:
    gate: Parked[None] = Parked()

    async def slow(call: Call, proceed: Proceed) -> Reply:
        await gate
        raise MeshError(Kind.RATE_LIMITED)

    world = World(slow)
    world.run()
    assert world.outcome == [(world.reply, None)]
    world.end()
    assert world.decisions() == {}
    gate.fire(None)
    assert world.decisions() == {"refuse": 1}
    assert world.env.clock.getDelayedCalls() == []


def test_a_filter_that_waits_for_ever_is_given_up() -> None:
    cleaned = []

    async def stuck(call: Call, proceed: Proceed) -> Reply:
        try:
            await Parked[None]()
        finally:
            cleaned.append(True)
        return await proceed(call)

    world = World(stuck)
    world.run()
    world.end()
    world.env.clock.advance(AFTERWARDS)
    assert cleaned == [True]
    assert world.decisions() == {"unfinished": 1}
    assert world.env.clock.getDelayedCalls() == []


def test_a_cleanup_that_waits_for_ever_is_thrown_at_again() -> None:
    async def stubborn(call: Call, proceed: Proceed) -> Reply:
        try:
            await Parked[None]()
        finally:
            await Parked[None]()
        return await proceed(call)

    world = World(stubborn)
    world.run()
    world.end()
    world.env.clock.pump([AFTERWARDS, 5.0])
    assert world.decisions() == {"unfinished": 1}
    assert world.env.clock.getDelayedCalls() == []


def test_a_filter_that_swallows_every_cancellation_is_given_up() -> None:
    """Else the places that shadowed filters share would fill up."""

    async def deaf(call: Call, proceed: Proceed) -> Reply:
        while True:
            try:
                await Parked[None]()
            except Cancelled:
                continue

    world = World(deaf)
    world.run()
    world.end()
    world.env.clock.pump([AFTERWARDS, 5.0, 5.0, 5.0])
    assert world.decisions() == {"unfinished": 1}
    assert world.env.clock.getDelayedCalls() == []


def test_cancelling_the_call_is_seen_by_the_filter() -> None:
    seen = []

    async def watching(call: Call, proceed: Proceed) -> Reply:
        try:
            return await proceed(call)
        except Cancelled as reason:
            seen.append(reason.kind)
            raise

    world = World(watching, wait=True)
    driver = world.run()
    driver.cancel(Cancelled(Kind.CLIENT_GONE))
    world.end()
    assert seen == [Kind.CLIENT_GONE]
    assert world.decisions() == {"pass": 1}


def test_completions_of_the_filter_run_with_the_results_of_the_real_call() -> None:
    seen: list[tuple[int, float]] = []

    async def registering(call: Call, proceed: Proceed) -> Reply:
        call.on_complete(lambda ended: seen.append((ended.status, ended.ended)))
        return await proceed(call)

    world = World(registering)
    world.run()
    assert seen == []
    world.end()
    assert seen == [(200, 9.0)]


def test_completions_of_a_slow_filter_run_when_it_ends() -> None:
    gate: Parked[None] = Parked()
    seen = []

    async def slow(call: Call, proceed: Proceed) -> Reply:
        await gate
        call.on_complete(lambda ended: seen.append(ended.status))
        return await proceed(call)

    world = World(slow)
    world.run()
    world.end()
    assert seen == []
    gate.fire(None)
    assert seen == [200]


def test_a_body_on_its_way_is_not_shown_and_not_taken() -> None:
    shown: list[Any] = []

    async def looking(call: Call, proceed: Proceed) -> Reply:
        shown.append(call.body)
        reply = await proceed(call)
        shown.append(reply.body)
        return reply

    world = World(looking)
    body = world.call.body = ByteStream()
    world.reply.body = ByteStream()
    world.run()
    assert shown == [b"", b""]
    assert world.call.body is body
    assert world.decisions() == {"pass": 1}


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
    assert failures == [0, 7, 7, 7]
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
