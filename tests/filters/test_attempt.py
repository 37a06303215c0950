"""A try that is stopped without its call's being."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.attempt import Attempt
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream


class Waiting:
    """What a try runs: it waits to be told its outcome."""

    def __init__(self) -> None:
        self.parked: Parked[Reply] = Parked()
        self.cancelled: list[Kind] = []

    async def __call__(self, call: Call) -> Reply:
        try:
            return await self.parked
        except Cancelled as cancelled:
            self.cancelled.append(cancelled.kind)
            raise


def run(attempt: Attempt, proceed: Any) -> Run:
    return Run(lambda call: attempt.run(proceed), attempt.call)


def test_a_reply_and_an_error_come_out() -> None:
    reply, error = Reply(200), MeshError(Kind.RESET)
    assert run(Attempt(a_call()), Script(reply)).reply is reply
    assert run(Attempt(a_call()), Script(error)).result is error
    waiting = Waiting()
    later = run(Attempt(a_call()), waiting)
    assert later.result is None
    waiting.parked.fire(reply)
    assert later.reply is reply


def test_who_is_cancelled_while_it_waits_stops_the_try() -> None:
    waiting, reason = Waiting(), Cancelled(Kind.DRAINING)
    later = run(Attempt(a_call()), waiting)
    later.driver.cancel(reason)
    assert later.result is reason
    assert waiting.cancelled == [Kind.DRAINING]


def test_the_try_alone_is_stopped() -> None:
    """Whoever waits for it hears why."""
    waiting, attempt = Waiting(), Attempt(a_call())
    later = run(attempt, waiting)
    attempt.driver.cancel(Cancelled(Kind.TRY_TIMEOUT))
    assert isinstance(later.result, Cancelled)
    assert later.result.kind is Kind.TRY_TIMEOUT
    assert "done" in repr(attempt)


@pytest.mark.parametrize("ended", [True, False])
def test_what_nobody_waits_for_is_dropped(ended: bool) -> None:
    body, told, waiting = ByteStream(), [], Waiting()
    attempt = Attempt(a_call())
    attempt.start(waiting, told.append)
    if ended:
        waiting.parked.fire(Reply(200, body=body))
    attempt.stop(Kind.CLIENT_GONE)
    assert told == ([attempt] if ended else [])
    assert body.cancelled is ended
    assert waiting.cancelled == ([] if ended else [Kind.CLIENT_GONE])
    assert attempt.reply is None
