"""One call beside which a filter runs: what it sees, what is recorded, and how it ends."""

from __future__ import annotations

from typing import Any

from tests.test_shadow import World, passing, refusing, replying
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.interfaces import Proceed
from twisted_mesh.park import Parked
from twisted_mesh.shadow_trial import AFTERWARDS, HELD_UP
from twisted_mesh.stream import ByteStream


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


def test_a_filter_that_holds_calls_up_is_said_to() -> None:
    """Also where the call has gone on without it, and its log line is written before the filter is done."""
    gate: Parked[None] = Parked()

    async def late(call: Call, proceed: Proceed) -> Reply:
        await gate
        return await proceed(call)

    world = World(late)
    world.run()
    world.end()
    assert world.call.context["log"]["shadow"] == {"probe": "wait"}
    world.env.clock.advance(2 * HELD_UP)
    gate.fire(None)
    assert world.decisions() == {"wait": 1}


def test_a_filter_that_only_asks_somebody_holds_nobody_up() -> None:
    gate: Parked[None] = Parked()

    async def asking(call: Call, proceed: Proceed) -> Reply:
        await gate
        return await proceed(call)

    world = World(asking, wait=True)
    world.run()
    world.env.clock.advance(HELD_UP / 2)
    gate.fire(None)
    assert world.waiting is not None
    world.waiting.fire(world.reply)
    world.end()
    assert world.decisions() == {"pass": 1}
    assert world.call._context is None


def test_a_call_that_would_have_been_sent_again_is_said_to_be() -> None:
    async def again(call: Call, proceed: Proceed) -> Reply:
        try:
            return await proceed(call)
        except MeshError:
            return await proceed(call)

    world = World(again, wait=True)
    world.run()
    assert world.waiting is not None
    world.waiting.fail(MeshError(Kind.RESET, "gone"))
    assert world.decisions() == {"repeat": 1}


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
