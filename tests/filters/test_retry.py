"""Trying again: when, how often, how long after, and with what body."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tests.bodies import Receiver
from tests.filters.drive import FakeEnv, Run, Script, a_call, cycles_left
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.filters.retry import BackoffSettings, BudgetSettings, Retry, RetrySettings, plugin
from twisted_mesh.park import Parked
from twisted_mesh.stream import REPLAY_LIMIT, ByteStream

REFUSED = MeshError(Kind.CONNECT_FAILED, "refused", origin=Origin.UPSTREAM, retryable=True)
RESET = MeshError(Kind.RESET, "reset", origin=Origin.UPSTREAM)
STALE = MeshError(Kind.CLOSED, "closed while idle", origin=Origin.UPSTREAM, retryable=True)
CLUSTER: Any = SimpleNamespace(name="api")


class World:
    def __init__(self, *steps: Any, endpoints: Any = (), **settings: Any) -> None:
        self.env = FakeEnv()
        self.script = Script(*steps, endpoints=endpoints)
        self.proceed = compose([Retry(RetrySettings(**settings), self.env)], self.script)  # type: ignore[arg-type]

    def run(self, call: Call, advance: bool = True) -> Run:
        call.cluster = CLUSTER
        run = Run(self.proceed, call)
        while advance and run.result is None and self.env.clock.getDelayedCalls():
            self.env.clock.advance(0.25)
        return run

    def count(self, name: str) -> float:
        return self.env.count(f"upstream_{name}_total", "http", "api")


def failing(error: MeshError, receivers: Optional[list[Receiver]] = None) -> Any:
    """A step that takes the body and then fails."""

    def step(call: Call) -> Reply:
        assert isinstance(call.body, ByteStream)
        if receivers is not None:
            receivers.append(Receiver())
            call.body.attach(receivers[-1])
            call.body.detach()
        raise error

    return step


# --- how often


def test_a_good_reply_passes() -> None:
    world, reply = World(Reply(200)), Reply(200)
    world.script.steps = [reply]
    assert world.run(a_call()).reply is reply
    assert world.script.tries == 1
    assert world.env.slept == []


def test_the_next_try_may_succeed() -> None:
    world = World(REFUSED, Reply(200))
    call = a_call()
    assert world.run(call).reply.status == 200
    assert world.script.tries == 2
    assert world.count("retries") == 1
    assert world.count("retries_exhausted") == 0
    assert call.flags == ()


def test_tries_are_limited_and_the_last_error_comes_out() -> None:
    last = MeshError(Kind.CONNECT_TIMEOUT, "slow", retryable=True)
    world = World(REFUSED, REFUSED, last, attempts=3)
    call = a_call()
    assert world.run(call).error is last
    assert world.script.tries == 3
    assert call.flags == ("UF", "URX")
    assert world.count("retries") == 2
    assert world.count("retries_exhausted") == 1


def test_one_try_is_no_retry_and_no_flag() -> None:
    world = World(REFUSED, attempts=1)
    call = a_call()
    assert world.run(call).error is REFUSED
    assert (world.script.tries, call.flags) == (1, ())


def test_the_waits_are_full_jitter() -> None:
    world = World(REFUSED, attempts=8, backoff=BackoffSettings(0.1, 0.5))
    world.env.random.random = lambda: 0.5  # type: ignore[method-assign]
    world.run(a_call())
    assert world.env.slept == pytest.approx([0.05, 0.15, 0.25, 0.25, 0.25, 0.25, 0.25])


def test_each_try_knows_the_endpoints_that_failed() -> None:
    one, two, three = object(), object(), object()
    world = World(REFUSED, REFUSED, Reply(200), endpoints=[one, two, three])
    call = a_call()
    world.run(call)
    assert world.script.tried == [(), (one,), (one, two)]


def test_an_endpoint_tried_twice_is_noted_once() -> None:
    only = object()
    world = World(REFUSED, endpoints=[only])
    call = a_call()
    world.run(call)
    assert call.tried == (only,)


# --- which failures


@pytest.mark.parametrize(
    ("error", "method", "tries"),
    [
        (REFUSED, "POST", 3),
        (RESET, "GET", 3),
        (RESET, "POST", 1),
        (STALE, "POST", 3),
        (MeshError(Kind.NO_ENDPOINT, retryable=True), "GET", 1),
        (MeshError(Kind.OVERFLOW, retryable=True), "GET", 1),
    ],
)
def test_only_what_is_safe_is_tried_again(error: MeshError, method: str, tries: int) -> None:
    world = World(error)
    assert world.run(a_call(method)).error is error
    assert world.script.tries == tries


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)])
def test_statuses_are_for_idempotent_methods(method: str, tries: int) -> None:
    world = World(Reply(503), Reply(200), when=("5xx",))
    world.run(a_call(method))
    assert world.script.tries == tries


def test_a_reply_that_is_left_behind_is_discarded() -> None:
    body = ByteStream()
    world = World(Reply(503, body=body), Reply(200), when=(503,))
    assert world.run(a_call()).reply.status == 200
    assert body.cancelled


def test_the_last_bad_reply_is_given_and_kept_whole() -> None:
    body = ByteStream()
    last = Reply(503, body=body)
    world = World(Reply(503), last, attempts=2, when=("gateway_error",))
    call = a_call()
    assert world.run(call).reply is last
    assert not body.cancelled
    assert call.flags == ("URX",)


def test_an_unexpected_exception_passes_at_once() -> None:
    error = ValueError("oops")
    world = World(error)
    assert world.run(a_call()).result is error
    assert world.script.tries == 1


# --- the body


def test_a_stream_is_sent_again_from_its_first_byte() -> None:
    receivers: list[Receiver] = []
    body = ByteStream(replay=True)
    body.write(b"hello ")
    world = World(failing(STALE, receivers), failing(STALE, receivers), Reply(200))
    call = a_call("POST", body)
    run = world.run(call, advance=False)
    body.write(b"world")
    body.end()
    world.env.clock.advance(1)
    world.env.clock.advance(1)
    assert run.reply.status == 200
    assert [each.data for each in receivers] == [b"hello ", b"hello world"]
    last = Receiver()
    body.attach(last)
    assert (last.data, last.ended) == (b"hello world", True)


def test_a_stream_that_outgrew_its_buffer_stops_retries() -> None:
    body = ByteStream(replay=True)
    body.write(b"x" * (REPLAY_LIMIT + 1))
    world = World(failing(STALE, []))
    call = a_call("PUT", body)
    assert world.run(call).error is STALE
    assert world.script.tries == 1
    assert call.flags == ()


def test_a_stream_that_nobody_touched_is_sent_whatever_its_size() -> None:
    body = ByteStream()
    body.write(b"x" * (REPLAY_LIMIT + 1))
    world = World(failing(REFUSED), Reply(200))
    assert world.run(a_call("POST", body)).reply.status == 200


def test_a_stream_that_grows_while_it_waits_is_still_whole() -> None:
    """It was rewound before the wait, so what comes in the meantime waits in it."""
    body = ByteStream(replay=True)
    body.write(b"x" * REPLAY_LIMIT)
    world = World(failing(STALE, []), Reply(200))
    run = world.run(a_call("PUT", body), advance=False)
    body.write(b"y")
    body.end()
    world.env.clock.advance(1)
    assert run.reply.status == 200
    receiver = Receiver()
    body.attach(receiver)
    assert len(receiver.data) == REPLAY_LIMIT + 1


def test_a_body_that_was_cut_is_not_sent_again() -> None:
    body = ByteStream(replay=True)
    body.write(b"half")
    body.fail(MeshError(Kind.CLIENT_GONE))
    world = World(failing(REFUSED))
    assert world.run(a_call("PUT", body)).error is REFUSED
    assert world.script.tries == 1


# --- time


def test_no_try_is_begun_that_the_deadline_would_cut() -> None:
    world = World(REFUSED, attempts=50, backoff=BackoffSettings(1.0, 1.0))
    world.env.random.random = lambda: 1.0  # type: ignore[method-assign]
    world.env.clock.advance(10)
    call = a_call()
    call.received, call.timeout = 10.0, 3.0
    assert world.run(call).error is REFUSED
    assert world.script.tries == 3
    assert call.flags == ()


def test_before_the_request_is_complete_there_is_no_deadline() -> None:
    world = World(REFUSED, Reply(200))
    world.env.clock.advance(100)
    call = a_call()
    call.timeout = 1.0
    assert world.run(call).reply.status == 200


def test_a_cancelled_call_is_not_tried_again() -> None:
    world = World(REFUSED)
    run = world.run(a_call(), advance=False)
    gone = Cancelled(Kind.CLIENT_GONE)
    run.driver.cancel(gone)
    assert run.result is gone
    assert world.script.tries == 1
    assert world.env.clock.getDelayedCalls() == []


@pytest.mark.parametrize("how", ["used up", "cancelled while it waits", "cancelled in a try"])
def test_no_call_leaves_a_cycle_behind(how: str) -> None:
    """The garbage collector would have to find it, and stops the loop for that."""
    env: Any = FakeEnv()
    waits: list[Parked[Reply]] = []

    async def upstream(call: Call) -> Reply:
        call.attempts += 1
        if how == "cancelled in a try" and call.attempts == 2:
            waits.append(Parked())
            return await waits[0]
        raise MeshError(Kind.RESET)

    proceed = compose([Retry(RetrySettings(budget=None), env)], upstream)

    def once() -> None:
        call = a_call()
        driver = Driver(call, lambda call, reply, error: None)
        driver.start(proceed)
        for _ in range(1 if how == "cancelled while it waits" else 4):
            # The second failure came while it was tried again.
            env.clock.advance(0.25)
        driver.cancel(Cancelled(Kind.CLIENT_GONE))
        assert driver.finished
        waits.clear()

    assert cycles_left(once) == 0


# --- settings


@pytest.mark.parametrize("tries", [0, 1])
def test_a_timeout_is_an_error_of_the_upstream_here_too(tries: int) -> None:
    """In a try and in the wait before one, as the layer `timeout` says it."""
    waits: Parked[Reply] = Parked()
    env, begun = FakeEnv(), []

    async def proceed(call: Call) -> Reply:
        begun.append(call)
        if len(begun) > tries:
            return await waits
        raise REFUSED

    call = a_call()
    call.timeout, call.cluster = 2.5, CLUSTER
    run = Run(compose([Retry(RetrySettings(), env)], proceed), call)  # type: ignore[arg-type]
    run.driver.cancel(Cancelled(Kind.TIMEOUT))
    assert (run.error.kind, run.error.detail, run.error.flag) == (Kind.TIMEOUT, "no reply within 2.5 s", "UT")
    assert len(begun) == 1
    assert env.clock.getDelayedCalls() == []


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        RetrySettings(attempts=0)
    with pytest.raises(ValueError, match="no retry condition 'no'"):
        RetrySettings(when=("no",))


def test_the_plugin_builds_it() -> None:
    assert isinstance(plugin.build(RetrySettings(), FakeEnv()), Retry)  # type: ignore[arg-type]


def test_the_budget_limits_what_all_calls_add() -> None:
    """And the free ones are tried again even where there are few calls."""
    world = World(Reply(503), when=("5xx",), attempts=2, budget=BudgetSettings(percent=50.0, least=0.1))
    for _ in range(10):
        assert world.run(a_call()).reply.status == 503
    # The first is free; after that every second call has earned one.
    assert world.script.tries == 15
    assert world.count("retries") == 5
    assert world.count("retries_refused") == 5
    world.env.clock.advance(60.0)
    world.run(a_call())
    assert world.script.tries == 17


def test_a_call_that_the_budget_stops_is_not_flagged_as_out_of_tries() -> None:
    world = World(Reply(503), when=("5xx",), budget=BudgetSettings(percent=0.0, least=0))
    call = a_call()
    assert world.run(call).reply.status == 503
    assert call.flags == ()
    assert world.count("retries_exhausted") == 0


@pytest.mark.parametrize("wrong", [{"percent": -1.0}, {"least": -1}])
def test_a_budget_below_0_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        BudgetSettings(**wrong)
