"""What the sweep's cancellation becomes."""

from __future__ import annotations

import pytest

from tests.filters.drive import FakeEnv, Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import Cancelled, Kind, Origin
from twisted_mesh.filters.timeout import TimeoutSettings, plugin, timeout
from twisted_mesh.park import Parked


class Waiting:
    """A chain that waits, and cleans up."""

    def __init__(self) -> None:
        self.cleaned = False

    async def __call__(self, call: Call) -> Reply:
        parked: Parked[None] = Parked()
        try:
            await parked
        finally:
            self.cleaned = True
        raise AssertionError("nothing fires this")


def test_a_timeout_is_an_error_of_the_upstream() -> None:
    inner, call = Waiting(), a_call()
    call.timeout = 2.5
    run = Run(compose([timeout], inner), call)
    run.driver.cancel(Cancelled(Kind.TIMEOUT))
    assert inner.cleaned
    assert (run.error.kind, run.error.origin, run.error.retryable) == (Kind.TIMEOUT, Origin.UPSTREAM, False)
    assert run.error.detail == "no reply within 2.5 s"
    assert run.error.flag == "UT"


def test_a_deadline_is_the_callers_doing() -> None:
    call = a_call()
    call.timeout, call.started, call.deadline = 2.5, 10.0, 10.25
    run = Run(compose([timeout], Waiting()), call)
    run.driver.cancel(Cancelled(Kind.DEADLINE))
    assert (run.error.kind, run.error.origin, run.error.flag) == (Kind.DEADLINE, Origin.CLIENT, "DE")
    assert run.error.detail == "the caller waits no longer than 0.25 s"


@pytest.mark.parametrize("kind", [Kind.CLIENT_GONE, Kind.DRAINING, Kind.INTERNAL])
def test_other_cancellations_pass(kind: Kind) -> None:
    run = Run(compose([timeout], Waiting()), a_call())
    reason = Cancelled(kind)
    run.driver.cancel(reason)
    assert run.result is reason


def test_replies_and_errors_pass() -> None:
    reply, error = Reply(200), ValueError("oops")
    assert Run(compose([timeout], Script(reply)), a_call()).reply is reply
    assert Run(compose([timeout], Script(error)), a_call()).result is error


def test_the_plugin_builds_it() -> None:
    assert plugin.build(TimeoutSettings(), FakeEnv()) is timeout  # type: ignore[arg-type]
    assert plugin.name == "timeout"
