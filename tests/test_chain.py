"""The chain and the hand that steps it: what a filter may await, and how a call is stopped wherever it stands."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from types import coroutine
from typing import Any, Awaitable, Callable, Generator, Optional

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Observer, Proceed
from twisted_mesh.park import Parked

OK = Reply(200, body=b"ok")


def a_call() -> Call:
    return Call("http", "edge", "GET", Headers())


class Run:
    """One call through a chain, and what came out of it."""

    def __init__(self, proceed: Proceed, *, start: bool = True) -> None:
        self.outcomes: list[tuple[Optional[Reply], Optional[BaseException]]] = []
        self.driver = Driver(a_call(), self._done)
        if start:
            self.driver.start(proceed)

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        assert call is self.driver.call
        self.outcomes.append((reply, error))

    @property
    def waiting(self) -> bool:
        return not self.outcomes

    @property
    def reply(self) -> Optional[Reply]:
        [(reply, error)] = self.outcomes
        if error is not None:
            raise error
        return reply

    @property
    def error(self) -> BaseException:
        [(reply, error)] = self.outcomes
        assert error is not None and reply is None
        return error

    def cancel(self, kind: Kind = Kind.CLIENT_GONE) -> Cancelled:
        reason = Cancelled(kind)
        self.driver.cancel(reason)
        return reason


def waiting_for(awaitable: Any) -> Proceed:
    """A chain that awaits one thing, and answers with what it gave as the reason."""

    async def proceed(call: Call) -> Reply:
        return Reply(200, reason=await awaitable)

    return proceed


# --- compose


class Marks:
    """Notes when the call goes in and when the reply comes out."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self._name = name
        self._seen = seen

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        self._seen.append(f"{self._name} in")
        reply = await proceed(call)
        self._seen.append(f"{self._name} out")
        return reply


async def answer(call: Call) -> Reply:
    return OK


def test_the_first_filter_is_the_outermost() -> None:
    seen: list[str] = []
    run = Run(compose([Marks("outer", seen), Marks("inner", seen)], answer))
    assert run.reply is OK
    assert seen == ["outer in", "inner in", "inner out", "outer out"]


def test_a_chain_without_filters_is_its_innermost() -> None:
    assert compose([], answer) is answer


def test_a_filter_may_be_a_function_and_name_its_parameters_as_it_likes() -> None:
    async def one(the_call: Call, rest: Proceed) -> Reply:
        return await rest(the_call)

    def two(the_call: Call, rest: Proceed) -> Awaitable[Reply]:
        return rest(the_call)

    assert Run(compose([one, two], answer)).reply is OK  # type: ignore[list-item]


def test_a_filter_may_proceed_several_times() -> None:
    tries: list[int] = []

    async def again(call: Call, proceed: Proceed) -> Reply:
        for _ in range(2):
            try:
                await proceed(call)
            except MeshError:
                tries.append(1)
        return await proceed(call)

    async def third_time(call: Call) -> Reply:
        call.attempts += 1
        if call.attempts < 3:
            raise MeshError(Kind.RESET)
        return OK

    assert Run(compose([again], third_time)).reply is OK
    assert len(tries) == 2


class Counts(Observer):
    """Counts the calls that have ended."""

    def __init__(self) -> None:
        self.ended = 0
        self.observe = self._ended

    def _ended(self, call: Call) -> None:
        self.ended += 1


def test_observers_register_themselves_wherever_they_stand() -> None:
    seen: list[str] = []
    observers = [Counts() for _ in range(4)]
    first, second, third, fourth = observers
    run = Run(compose([first, second, Marks("one", seen), third, Marks("two", seen), fourth], answer))
    assert run.reply is OK
    assert [each.ended for each in observers] == [0, 0, 0, 0]
    run.driver.call.complete(1.0, lambda completion: None)
    assert [each.ended for each in observers] == [1, 1, 1, 1]
    assert Run(compose(observers, answer)).reply is OK


def test_completions_of_observers_run_from_the_inside_out_and_stay_with_their_call() -> None:
    order: list[str] = []

    class Notes(Observer):
        def __init__(self, name: str) -> None:
            self.observe = lambda call: order.append(name)

    async def late(call: Call, proceed: Proceed) -> Reply:
        call.on_complete(lambda call: order.append("filter"))
        return await proceed(call)

    proceed = compose([Notes("outer"), Notes("inner"), late], answer)
    for _ in range(2):
        Run(proceed).driver.call.complete(1.0, lambda completion: None)
    assert order == ["filter", "inner", "outer"] * 2


def test_a_filter_that_happens_to_have_something_called_observe_is_a_filter() -> None:
    class Measures(Marks):
        def observe(self, seconds: float) -> None:
            raise AssertionError

    seen: list[str] = []
    run = Run(compose([Measures("it", seen)], answer))
    assert run.reply is OK
    run.driver.call.complete(1.0, lambda completion: None)
    assert seen == ["it in", "it out"]


# --- ending


def test_done_is_called_before_start_returns_where_nothing_waits() -> None:
    run = Run(answer)
    assert run.reply is OK
    assert run.driver.finished


def test_what_a_coroutine_raises_comes_out() -> None:
    async def broken(call: Call) -> Reply:
        raise MeshError(Kind.DENIED, "no")

    error = Run(broken).error
    assert isinstance(error, MeshError) and error.kind is Kind.DENIED


def test_what_a_plain_filter_raises_comes_out() -> None:
    def broken(call: Call, proceed: Proceed) -> Awaitable[Reply]:
        raise ZeroDivisionError

    run = Run(compose([broken], answer))
    assert isinstance(run.error, ZeroDivisionError)
    assert run.driver.finished


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError(), StopAsyncIteration()])
def test_exceptions_that_are_no_exceptions_come_out_too(error: BaseException) -> None:
    async def broken(call: Call) -> Reply:
        raise error

    assert Run(broken).error is error


def test_a_filter_that_returns_no_awaitable_is_told_so() -> None:
    def forgetful(call: Call, proceed: Proceed) -> Reply:
        return OK

    error = Run(compose([forgetful], answer)).error  # type: ignore[list-item]
    assert isinstance(error, TypeError)
    assert "await" in str(error)


def test_an_error_is_not_chained_to_the_end_of_an_earlier_call() -> None:
    """The next call of a connection may begin inside `done`; what it raises has nothing to do with the first."""
    errors: list[Optional[BaseException]] = []

    async def broken(call: Call) -> Reply:
        raise MeshError(Kind.DENIED)

    def first_done(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        Driver(a_call(), lambda call, reply, error: errors.append(error)).start(broken)

    Driver(a_call(), first_done).start(answer)
    Driver(a_call(), first_done).start(broken)
    assert [type(each) for each in errors] == [MeshError, MeshError]
    assert [each.__context__ for each in errors if each] == [None, None]


def test_what_done_raises_reaches_whoever_stepped_and_done_is_not_called_again() -> None:
    parked: Parked[bytes] = Parked()
    calls = []

    def done(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        calls.append(reply)
        raise RuntimeError("in done")

    driver = Driver(a_call(), done)
    driver.start(waiting_for(parked))
    with pytest.raises(RuntimeError, match="in done"):
        parked.fire(b"")
    driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert len(calls) == 1
    assert driver.finished


# --- Parked


def test_a_parked_resumes_with_its_value() -> None:
    parked: Parked[bytes] = Parked()
    run = Run(waiting_for(parked))
    assert run.waiting and not run.driver.finished
    parked.fire(b"now")
    assert run.reply is not None and run.reply.reason == b"now"


def test_a_parked_that_failed_raises() -> None:
    parked: Parked[bytes] = Parked()
    run = Run(waiting_for(parked))
    parked.fail(MeshError(Kind.RESET))
    assert isinstance(run.error, MeshError)


@pytest.mark.parametrize("fails", [False, True])
def test_a_parked_that_is_done_is_not_waited_for(fails: bool) -> None:
    parked: Parked[bytes] = Parked()
    if fails:
        parked.fail(MeshError(Kind.RESET))
    else:
        parked.fire(b"early")
    run = Run(waiting_for(parked))
    assert not run.waiting


def test_a_kind_of_parked_is_a_parked() -> None:
    class Named(Parked[bytes]):
        pass

    parked = Named()
    run = Run(waiting_for(parked))
    parked.fire(b"now")
    assert run.reply is not None and run.reply.reason == b"now"


# --- Deferreds


def test_a_deferred_resumes_with_its_result() -> None:
    deferred: Deferred[bytes] = Deferred()
    run = Run(waiting_for(deferred))
    assert run.waiting
    deferred.callback(b"later")
    assert run.reply is not None and run.reply.reason == b"later"


def test_the_result_of_a_deferred_stays_for_others() -> None:
    deferred: Deferred[bytes] = Deferred()
    first, second = Run(waiting_for(deferred)), Run(waiting_for(deferred))
    deferred.callback(b"later")
    for run in (first, second):
        assert run.reply is not None and run.reply.reason == b"later"


def test_a_deferred_that_fired_is_not_waited_for() -> None:
    run = Run(waiting_for(defer.succeed(b"early")))
    assert run.reply is not None and run.reply.reason == b"early"


def test_a_deferred_that_failed_raises_where_it_is_awaited() -> None:
    deferred: Deferred[bytes] = Deferred()
    caught: list[BaseException] = []

    async def proceed(call: Call) -> Reply:
        try:
            await deferred
        except ValueError as error:
            caught.append(error)
        return OK

    run = Run(proceed)
    deferred.errback(ValueError("later"))
    assert run.reply is OK
    assert [str(each) for each in caught] == ["later"]


def test_a_deferred_that_had_failed_raises() -> None:
    run = Run(waiting_for(defer.fail(ValueError("early"))))
    assert isinstance(run.error, ValueError)


def test_a_failed_deferred_leaves_no_unhandled_error(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(defer, "log", type("Log", (), {"failure": lambda *args, **more: logged.append(more)}))
    deferred: Deferred[bytes] = Deferred()
    run = Run(waiting_for(deferred))
    deferred.errback(ValueError("later"))
    assert isinstance(run.error, ValueError)
    del deferred, run
    gc.collect()
    assert logged == []


def test_a_deferred_chained_to_another_is_waited_for() -> None:
    outer: Deferred[bytes] = Deferred()
    inner: Deferred[bytes] = Deferred()
    outer.addCallback(lambda _: inner)
    outer.callback(b"")
    run = Run(waiting_for(outer))
    assert run.waiting
    inner.callback(b"inner")
    assert run.reply is not None and run.reply.reason == b"inner"


@coroutine
def bare(thing: Any) -> Generator[Any, Any, Any]:
    """Yield `thing` as it is, without asking whether it is done."""
    return (yield thing)


@pytest.mark.parametrize("fails", [False, True])
def test_a_fired_deferred_that_is_yielded_all_the_same_does_not_wait(fails: bool) -> None:
    """Twisted's own `__await__` does not do this; other people's generators may."""

    async def proceed(call: Call) -> Reply:
        for _ in range(3):
            try:
                await bare(defer.fail(ValueError()) if fails else defer.succeed(b""))
            except ValueError:
                call.attempts += 1
        return OK

    run = Run(proceed)
    assert run.reply is OK
    assert run.driver.call.attempts == (3 if fails else 0)


def test_awaiting_the_same_deferred_twice_gives_its_result_twice() -> None:
    deferred: Deferred[bytes] = Deferred()

    async def proceed(call: Call) -> Reply:
        return Reply(200, reason=await deferred + await deferred)

    run = Run(proceed)
    deferred.callback(b"x")
    assert run.reply is not None and run.reply.reason == b"xx"


def test_a_filter_may_return_a_deferred() -> None:
    deferred: Deferred[Reply] = Deferred()
    run = Run(lambda call: deferred)
    deferred.callback(OK)
    assert run.reply is OK


def test_a_filter_that_returned_a_deferred_can_be_cancelled() -> None:
    cancelled: list[Any] = []
    deferred: Deferred[Reply] = Deferred(cancelled.append)
    run = Run(lambda call: deferred)
    reason = run.cancel()
    assert run.error is reason
    assert cancelled == [deferred]


# --- asyncio


def on_a_loop(play: Callable[[asyncio.AbstractEventLoop], Awaitable[None]]) -> None:
    async def main() -> None:
        await play(asyncio.get_running_loop())

    asyncio.run(main())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_future_resumes_with_its_result() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()
        run = Run(waiting_for(future))
        assert run.waiting
        future.set_result(b"later")
        await turns()
        assert run.reply is not None and run.reply.reason == b"later"

    on_a_loop(play)


def test_a_future_that_failed_raises() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()
        run = Run(waiting_for(future))
        future.set_exception(ValueError("later"))
        await turns()
        assert isinstance(run.error, ValueError)

    on_a_loop(play)


def test_a_task_is_a_future() -> None:
    async def work() -> bytes:
        await asyncio.sleep(0.001)
        return b"worked"

    async def play(loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(work())
        run = Run(waiting_for(task))
        await task
        await turns()
        assert run.reply is not None and run.reply.reason == b"worked"

    on_a_loop(play)


def test_a_future_that_somebody_else_cancels_raises_that() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()
        run = Run(waiting_for(future))
        future.cancel()
        await turns()
        assert isinstance(run.error, asyncio.CancelledError)

    on_a_loop(play)


def test_a_filter_may_return_a_future() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[Reply] = loop.create_future()
        run = Run(lambda call: future)
        future.set_result(OK)
        await turns()
        assert run.reply is OK

    on_a_loop(play)


def test_sleeping_for_no_time_lets_the_loop_turn() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        async def proceed(call: Call) -> Reply:
            await asyncio.sleep(0)
            return OK

        run = Run(proceed)
        assert run.waiting
        await turns(2)
        assert run.reply is OK

    on_a_loop(play)


def test_what_cannot_be_awaited_raises_where_it_is_awaited() -> None:
    cleaned: list[str] = []

    async def proceed(call: Call) -> Reply:
        try:
            await bare(42)
        finally:
            cleaned.append("yes")
        return OK

    error = Run(proceed).error
    assert isinstance(error, TypeError) and "42" in str(error)
    assert cleaned == ["yes"]


def test_sleeping_for_no_time_without_a_loop_raises_where_it_is_awaited() -> None:
    cleaned: list[str] = []

    async def proceed(call: Call) -> Reply:
        try:
            await asyncio.sleep(0)
        except RuntimeError:
            cleaned.append("yes")
        return OK

    assert Run(proceed).reply is OK
    assert cleaned == ["yes"]


# --- context variables

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_a_variable_stays_with_its_call_from_wait_to_wait() -> None:
    first: Parked[bytes] = Parked()
    second: Parked[bytes] = Parked()

    def named(name: str, parked: Parked[bytes]) -> Proceed:
        async def proceed(call: Call) -> Reply:
            who.set(name)
            await parked
            return Reply(200, reason=who.get().encode())

        return proceed

    one, two = Run(named("one", first)), Run(named("two", second))
    assert who.get() == "nobody"
    second.fire(b"")
    first.fire(b"")
    assert one.reply is not None and one.reply.reason == b"one"
    assert two.reply is not None and two.reply.reason == b"two"
    assert who.get() == "nobody"


def test_a_variable_does_not_leak_into_a_call_that_begins_inside_a_step_of_another() -> None:
    parked: Parked[bytes] = Parked()
    seen: list[str] = []

    async def looks(call: Call) -> Reply:
        seen.append(who.get())
        return OK

    def next_one(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        Driver(a_call(), lambda *rest: None).start(looks)

    Driver(a_call(), next_one).start(waiting_for(parked))

    async def fires(call: Call) -> Reply:
        who.set("the one that fires")
        parked.fire(b"")
        return OK

    assert Run(fires).reply is OK
    assert seen == ["nobody"]


def test_a_variable_is_seen_in_cleanup_after_a_cancel() -> None:
    seen: list[str] = []

    async def proceed(call: Call) -> Reply:
        who.set("me")
        try:
            return await Parked()
        finally:
            seen.append(who.get())

    Run(proceed).cancel()
    assert seen == ["me"]


# --- cancelling


def test_cancelling_throws_where_the_call_waits_and_lets_the_parked_go() -> None:
    parked: Parked[bytes] = Parked()
    run = Run(waiting_for(parked))
    reason = run.cancel()
    assert run.error is reason
    assert parked.resume is None
    parked.fire(b"late")
    assert len(run.outcomes) == 1


def test_cancelling_cancels_the_deferred_first() -> None:
    order: list[str] = []
    deferred: Deferred[bytes] = Deferred(lambda _: order.append("deferred"))

    async def proceed(call: Call) -> Reply:
        try:
            return Reply(200, reason=await deferred)
        finally:
            order.append("finally")

    run = Run(proceed)
    reason = run.cancel()
    assert run.error is reason
    assert order == ["deferred", "finally"]


def test_cancelling_cancels_the_future() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()
        run = Run(waiting_for(future))
        reason = run.cancel()
        assert run.error is reason
        assert future.cancelled()
        await turns()
        assert len(run.outcomes) == 1

    on_a_loop(play)


def test_cancelling_ends_the_task_and_its_finally_runs() -> None:
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("task")

    async def play(loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(work())
        run = Run(waiting_for(task))
        await turns()
        run.cancel()
        await turns()
        assert task.cancelled()
        assert cleaned == ["task"]

    on_a_loop(play)


@pytest.mark.parametrize(("error", "logged"), [(MeshError(Kind.CLIENT_GONE), 0), (ValueError("of the task"), 1)])
def test_what_a_cancelled_task_raises_is_taken(error: Exception, logged: int) -> None:
    """That its call has come to nothing is no news; anything else is logged, once, by us."""
    told: list[object] = []
    events: list[Any] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise error

    async def play(loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda loop, context: told.append(context))
        run = Run(waiting_for(loop.create_task(work())))
        await turns()
        run.cancel()
        del run
        await turns()
        gc.collect()

    globalLogPublisher.addObserver(events.append)
    try:
        on_a_loop(play)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert not told
    assert len([each for each in events if "log_failure" in each]) == logged


def test_cancelling_a_future_that_has_just_fired_steps_only_once() -> None:
    """Its callback stands in the loop's queue already when the cancel comes."""

    async def play(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()
        parked: Parked[None] = Parked()

        async def proceed(call: Call) -> Reply:
            try:
                await future
            finally:
                await parked
            return OK

        run = Run(proceed)
        future.set_result(b"")
        reason = run.cancel()
        await turns()
        assert run.waiting
        parked.fire(None)
        assert run.error is reason

    on_a_loop(play)


def test_cancelling_a_sleep_of_no_time() -> None:
    async def play(loop: asyncio.AbstractEventLoop) -> None:
        async def proceed(call: Call) -> Reply:
            await asyncio.sleep(0)
            return OK

        run = Run(proceed)
        reason = run.cancel()
        await turns()
        assert run.error is reason

    on_a_loop(play)


def test_except_exception_does_not_swallow_a_cancel() -> None:
    async def stubborn(call: Call) -> Reply:
        try:
            return await Parked()
        except Exception:
            return OK

    run = Run(stubborn)
    reason = run.cancel()
    assert run.error is reason


def test_a_filter_may_turn_a_cancel_into_something_else() -> None:
    async def timeout(call: Call, proceed: Proceed) -> Reply:
        try:
            return await proceed(call)
        except Cancelled as reason:
            raise MeshError(reason.kind) from reason

    run = Run(compose([timeout], waiting_for(Parked())))
    run.cancel(Kind.TIMEOUT)
    assert isinstance(run.error, MeshError)


def test_a_cancel_passes_every_finally_from_the_inside_out() -> None:
    order: list[str] = []

    def layer(name: str) -> Any:
        async def tidy(call: Call, proceed: Proceed) -> Reply:
            try:
                return await proceed(call)
            finally:
                order.append(name)

        return tidy

    Run(compose([layer("outer"), layer("inner")], waiting_for(Parked()))).cancel()
    assert order == ["inner", "outer"]


def test_a_finally_may_await() -> None:
    flushed: Deferred[bytes] = Deferred()

    async def proceed(call: Call) -> Reply:
        try:
            return await Parked()
        finally:
            await flushed

    run = Run(proceed)
    reason = run.cancel()
    assert run.waiting
    flushed.callback(b"")
    assert run.error is reason


def test_throwing_twice_ends_a_finally_that_does_not_end() -> None:
    async def proceed(call: Call) -> Reply:
        try:
            return await Parked()
        finally:
            await Parked()

    run = Run(proceed)
    first = run.cancel(Kind.CLIENT_GONE)
    assert run.waiting
    second = run.cancel(Kind.INTERNAL)
    assert run.error is second
    assert second.__context__ is first


def test_cancelling_what_has_ended_does_nothing() -> None:
    run = Run(answer)
    run.cancel()
    assert run.reply is OK


def test_a_cancel_before_the_start_is_kept() -> None:
    ran: list[str] = []

    async def proceed(call: Call) -> Reply:
        ran.append("yes")
        return OK

    run = Run(proceed, start=False)
    reason = run.cancel()
    assert run.waiting
    run.driver.start(proceed)
    assert run.error is reason
    assert ran == []


def test_a_cancel_from_a_plain_filter_is_kept() -> None:
    """It runs before there is any coroutine to throw into."""
    runs: list[Run] = []

    def gone(call: Call, proceed: Proceed) -> Awaitable[Reply]:
        runs[0].cancel()
        return proceed(call)

    proceed = compose([gone], answer)
    runs.append(Run(proceed, start=False))
    runs[0].driver.start(proceed)
    assert isinstance(runs[0].error, Cancelled)


# --- a call back into a running coroutine


class Inside:
    """A run whose coroutine may cancel itself."""

    def __init__(self, play: Callable[[Run], Awaitable[Reply]]) -> None:
        async def proceed(call: Call) -> Reply:
            return await play(self.run)

        self.run = Run(proceed, start=False)
        self.run.driver.start(proceed)


def test_a_cancel_while_running_acts_where_the_call_next_waits() -> None:
    order: list[str] = []
    parked: Parked[bytes] = Parked()

    async def play(run: Run) -> Reply:
        run.cancel()
        order.append("still running")
        try:
            await parked
        finally:
            order.append("thrown")
        return OK

    run = Inside(play).run
    assert isinstance(run.error, Cancelled)
    assert order == ["still running", "thrown"]
    assert parked.resume is None


def test_a_cancel_while_running_of_what_does_not_wait_again_is_too_late() -> None:
    async def play(run: Run) -> Reply:
        run.cancel()
        return OK

    assert Inside(play).run.reply is OK


def test_a_cancel_while_running_cancels_the_deferred_that_it_comes_to() -> None:
    cancelled: list[Any] = []

    async def play(run: Run) -> Reply:
        run.cancel()
        await Deferred(cancelled.append)
        return OK

    run = Inside(play).run
    assert isinstance(run.error, Cancelled)
    assert len(cancelled) == 1


def test_a_cancel_while_running_cancels_the_future_that_it_comes_to() -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> None:
        future: asyncio.Future[bytes] = loop.create_future()

        async def play(run: Run) -> Reply:
            run.cancel()
            await future
            return OK

        run = Inside(play).run
        assert isinstance(run.error, Cancelled)
        assert future.cancelled()

    on_a_loop(main)


@pytest.mark.parametrize("nonsense", [None, 42])
def test_a_cancel_while_running_meets_what_cannot_be_cancelled(nonsense: Any) -> None:
    async def play(run: Run) -> Reply:
        run.cancel()
        await bare(nonsense)
        return OK

    assert isinstance(Inside(play).run.error, Cancelled)


def test_firing_what_the_running_coroutine_awaits_next() -> None:
    parked: Parked[bytes] = Parked()

    async def play(run: Run) -> Reply:
        parked.fire(b"mine")
        return Reply(200, reason=await parked)

    run = Inside(play).run
    assert run.reply is not None and run.reply.reason == b"mine"


def test_a_cancel_inside_a_canceller_is_one_more_throw_and_nothing_is_resumed_by_it() -> None:
    """The canceller of a Deferred may end up in the code that cancels calls."""
    runs: list[Run] = []
    second: Parked[bytes] = Parked()
    resumed: list[bytes] = []

    async def proceed(call: Call) -> Reply:
        try:
            await Deferred(lambda _: runs[0].driver.cancel(Cancelled(Kind.DRAINING)))
        finally:
            resumed.append(await second)
        return OK

    runs.append(Run(proceed))
    runs[0].cancel(Kind.CLIENT_GONE)
    assert runs[0].waiting
    assert resumed == []
    second.fire(b"")
    assert isinstance(runs[0].error, Cancelled)


def test_a_canceller_that_raises_is_logged_and_the_call_ends(caplog: Any) -> None:
    def broken(deferred: Any) -> None:
        raise ValueError("canceller")

    run = Run(waiting_for(Deferred(broken)))
    reason = run.cancel()
    assert run.error is reason


# --- many


def test_ten_thousand_waits_that_are_over_at_once_do_not_recurse() -> None:
    async def proceed(call: Call) -> Reply:
        for _ in range(10_000):
            await defer.succeed(None)
            await bare(defer.succeed(None))
            parked: Parked[None] = Parked()
            parked.fire(None)
            await parked
        return OK

    assert Run(proceed).reply is OK


def test_a_chain_of_a_hundred_filters() -> None:
    async def layer(call: Call, proceed: Proceed) -> Reply:
        return await proceed(call)

    parked: Parked[bytes] = Parked()
    run = Run(compose([layer] * 100, waiting_for(parked)))
    parked.fire(b"deep")
    assert run.reply is not None and run.reply.reason == b"deep"


def test_too_deep_a_chain_costs_its_call_only() -> None:
    async def layer(call: Call, proceed: Proceed) -> Reply:
        return await proceed(call)

    assert isinstance(Run(compose([layer] * 5_000, answer)).error, RecursionError)
    assert Run(answer).reply is OK


# --- nothing is left behind


def fires(parked: Parked[bytes], driver: Driver) -> None:
    parked.fire(b"")


def fails(parked: Parked[bytes], driver: Driver) -> None:
    parked.fail(MeshError(Kind.RESET))


def is_cancelled(parked: Parked[bytes], driver: Driver) -> None:
    driver.cancel(Cancelled(Kind.CLIENT_GONE))


@pytest.mark.parametrize("end", [fires, fails, is_cancelled])
def test_an_ended_call_is_freed_without_the_garbage_collector(end: Callable[[Parked[bytes], Driver], None]) -> None:
    ended: list[bool] = []
    parked: Parked[bytes] = Parked()
    driver = Driver(a_call(), lambda call, reply, error: ended.append(True))
    driver.start(waiting_for(parked))
    call = weakref.ref(driver.call)
    gc.collect()
    gc.disable()
    try:
        end(parked, driver)
        del parked, driver
        assert ended == [True]
        assert call() is None
    finally:
        gc.enable()


def test_the_repr_says_where_the_call_stands() -> None:
    parked: Parked[bytes] = Parked()
    seen: list[str] = []

    async def play(run: Run) -> Reply:
        seen.append(repr(run.driver))
        await parked
        return OK

    run = Inside(play).run
    seen.append(repr(run.driver))
    parked.fire(b"")
    seen.append(repr(run.driver))
    assert [each.split()[1] for each in seen] == ["running", "parked", "done"]
    assert repr(Driver(a_call(), lambda *rest: None)).startswith("<Driver new <Call - http GET")
