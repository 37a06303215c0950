"""The calls in flight of one listener: none holds its place for ever, whatever its filters do."""

from __future__ import annotations

from typing import Any, Optional

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from tests.test_chain import OK, Run, waiting_for
from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CLEANUP_LIMIT, THROWS, UNROUTED_LIMIT, CallTable
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.interfaces import Proceed
from twisted_mesh.park import Parked
from twisted_mesh.sweep import SWEEP_INTERVAL, Sweep


class Table:
    """A `CallTable` on a Clock, and calls in it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.sweep = Sweep(self.clock)
        self.stuck: list[tuple[Driver, str, Any]] = []
        self.table = CallTable(self.clock.seconds, self.sweep, self._stuck)

    def _stuck(self, driver: Driver, what: str) -> None:
        assert not driver.finished
        self.stuck.append((driver, what, driver.stands))

    def run(self, proceed: Proceed, timeout: Optional[float] = None) -> Run:
        run = Run(proceed, start=False)
        run.driver.call.received = self.clock.seconds()
        run.driver.call.timeout = timeout
        self.table.add(run.driver)
        run.driver.start(proceed)
        return run

    def advance(self, seconds: float) -> None:
        self.clock.pump([SWEEP_INTERVAL] * round(seconds / SWEEP_INTERVAL))


def test_the_sweep_cancels_what_has_passed_its_timeout_and_nothing_else() -> None:
    table = Table()
    short = table.run(waiting_for(Parked()), timeout=1.0)
    long = table.run(waiting_for(Parked()), timeout=10.0)
    endless = table.run(waiting_for(Parked()))
    table.advance(0.5)
    assert short.waiting
    table.advance(0.6)
    error = short.error
    assert isinstance(error, Cancelled) and error.kind is Kind.TIMEOUT
    assert long.waiting and endless.waiting


def test_a_timeout_counts_from_the_end_of_the_request() -> None:
    table = Table()
    run = table.run(waiting_for(Parked()), timeout=1.0)
    run.driver.call.received = 0.0
    table.advance(5.0)
    assert run.waiting
    run.driver.call.received = table.clock.seconds()
    table.advance(1.1)
    assert not run.waiting


def test_a_timeout_that_is_set_on_the_way_counts() -> None:
    """The route filter sets it, when the call stands in the table already."""
    table = Table()
    run = table.run(waiting_for(Parked()))
    table.advance(0.5)
    run.driver.call.timeout = 1.0
    table.advance(0.6)
    assert not run.waiting


def test_a_callers_deadline_counts_up_to_the_timeout_once_there_is_a_route() -> None:
    table = Table()
    now = table.clock.seconds()
    short, long, alone, unrouted = (table.run(waiting_for(Parked()), timeout=each) for each in (1.0, 1.0, None, None))
    short.driver.call.deadline = now + 0.5
    long.driver.call.deadline = now + 5.0
    alone.driver.call.deadline = unrouted.driver.call.deadline = now + 0.5
    alone.driver.call.received = 0.0
    route: Any = object()
    alone.driver.call.route = route
    table.advance(0.6)
    assert [each.waiting for each in (short, long, alone, unrouted)] == [False, True, False, True]
    table.advance(0.5)
    kinds = [each.error.kind for each in (short, alone, long) if isinstance(each.error, Cancelled)]
    assert kinds == [Kind.DEADLINE, Kind.DEADLINE, Kind.TIMEOUT]


def test_a_cleanup_that_does_not_end_is_thrown_at_again_until_it_does() -> None:
    table = Table()
    kinds: list[Kind] = []

    async def stubborn(call: Call) -> Reply:
        for _ in range(3):
            try:
                await Parked()
            except Cancelled as reason:
                kinds.append(reason.kind)
        return OK

    run = table.run(stubborn, timeout=1.0)
    table.advance(1.1)
    assert kinds == [Kind.TIMEOUT]
    table.advance(CLEANUP_LIMIT - 0.5)
    assert kinds == [Kind.TIMEOUT]
    table.advance(1.0)
    assert kinds == [Kind.TIMEOUT, Kind.INTERNAL]
    table.advance(CLEANUP_LIMIT + 0.1)
    assert kinds == [Kind.TIMEOUT, Kind.INTERNAL, Kind.INTERNAL]
    assert run.reply is OK


def test_a_call_that_was_cancelled_through_the_table_is_seen_to_its_end() -> None:
    table = Table()

    async def stubborn(call: Call) -> Reply:
        try:
            return await Parked()
        finally:
            await Parked()

    run = table.run(stubborn)
    table.table.cancel(run.driver, Cancelled(Kind.CLIENT_GONE))
    assert run.waiting
    table.advance(CLEANUP_LIMIT + 0.1)
    error = run.error
    assert isinstance(error, Cancelled) and error.kind is Kind.INTERNAL


def test_cancelling_all_cancels_each() -> None:
    table = Table()
    runs = [table.run(waiting_for(Parked())) for _ in range(3)]
    assert len(table.table) == 3
    table.table.cancel_all(Kind.DRAINING)
    assert [type(run.error) for run in runs] == [Cancelled] * 3


def test_an_empty_table_leaves_no_timer() -> None:
    table = Table()
    parked: Parked[bytes] = Parked()
    run = table.run(waiting_for(parked))
    assert table.clock.getDelayedCalls() != []
    parked.fire(b"")
    table.table.discard(run.driver)
    table.advance(0.1)
    assert table.clock.getDelayedCalls() == []


async def deaf(call: Call) -> Reply:
    """Swallow every cancellation."""
    while True:
        try:
            await Parked[None]()
        except Cancelled:
            call.context["thrown"] = call.context.get("thrown", 0) + 1


def test_what_swallows_every_cancellation_is_given_up() -> None:
    """Without that it would hold its connection, and its place in the table, for ever."""
    table = Table()
    run = table.run(deaf, timeout=1.0)
    table.advance(1.1 + (THROWS - 1) * CLEANUP_LIMIT + 0.5)
    assert run.waiting
    assert run.driver.call.context["thrown"] == THROWS
    assert table.stuck == []
    table.advance(CLEANUP_LIMIT)
    error = run.error
    assert isinstance(error, Cancelled) and error.kind is Kind.INTERNAL
    assert error.detail == "a filter was cancelled 3 times and did not end"
    [(driver, what, places)] = table.stuck
    assert driver is run.driver and what == error.detail
    assert [function for _, _, function in places] == ["deaf", "__await__"]
    assert run.driver.finished
    run.driver.give_up(Cancelled(Kind.INTERNAL))
    run.driver.cancel(Cancelled(Kind.INTERNAL))
    assert len(run.outcomes) == 1


def test_what_swallows_even_its_closing_is_given_up_and_logged() -> None:
    table = Table()

    async def deafer(call: Call) -> Reply:
        left = THROWS + 2
        while left:
            left -= 1
            try:
                await Parked[None]()
            except BaseException:  # noqa: S112
                continue
        return OK

    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        run = table.run(deafer, timeout=1.0)
        table.advance(1.1 + THROWS * CLEANUP_LIMIT + 0.5)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert isinstance(run.error, Cancelled)
    [event] = [each for each in events if "log_failure" in each]
    assert "ignored GeneratorExit" in str(event["log_failure"].value)


def test_what_is_given_up_runs_the_rest_of_its_finally() -> None:
    table = Table()
    done: list[str] = []

    async def slow(call: Call) -> Reply:
        try:
            return await Parked()
        finally:
            for _ in range(THROWS):
                try:
                    await Parked()
                except Cancelled:
                    continue
                finally:
                    done.append("one")

    run = table.run(slow)
    table.table.cancel(run.driver, Cancelled(Kind.CLIENT_GONE))
    table.advance(THROWS * CLEANUP_LIMIT + 1)
    assert isinstance(run.error, Cancelled)
    assert done == ["one"] * THROWS


def test_a_request_without_a_route_has_a_limit_of_its_own() -> None:
    """A listener's filter that hangs: no route has been chosen, so no route's timeout counts."""
    table = Table()
    run = table.run(waiting_for(Parked()))
    body = table.run(waiting_for(Parked()))
    body.driver.call.received = 0.0
    routed = table.run(waiting_for(Parked()))
    routed.driver.call.route = object()  # type: ignore[assignment]
    table.advance(UNROUTED_LIMIT - 1)
    assert run.waiting and table.stuck == []
    table.advance(1.1)
    error = run.error
    assert isinstance(error, Cancelled) and error.kind is Kind.INTERNAL
    assert error.detail == "no route after 60 s in the filters"
    [(driver, what, _)] = table.stuck
    assert driver is run.driver and what == error.detail
    assert body.waiting and routed.waiting
