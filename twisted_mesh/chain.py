"""Filters made one, and the hand that steps them.

`compose` folds a list of filters into one function.  A `Driver` runs the coroutine that this function returns, for one
call: no Task, no Deferred, no timer.  It understands what user filters may await: `Parked`, Deferreds, asyncio futures.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from inspect import isroutine
from types import CoroutineType
from typing import Any, Awaitable, Callable, Optional, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.interfaces import Filter, Observer, Proceed
from twisted_mesh.park import Parked
from twisted_mesh.sweep import Sweep

# How long a cancelled filter may go on awaiting in its ``finally`` before it is thrown at again; seconds.
CLEANUP_LIMIT = 5.0

Done = Callable[[Call, Optional[Reply], Optional[BaseException]], None]

_log = Logger()
# What every call's context variables begin with.  Not the context that happens to be current: one call may end, and so
# another begin, inside a step of a third, whose variables are none of its business.
_clean = copy_context()


def compose(filters: Sequence[Filter], innermost: Proceed) -> Proceed:
    """Fold filters, outermost first, round `innermost`.

    Neighbours that only observe (`interfaces.Observer`) become one layer, which registers what each of them does at the
    end of a call without calling them: measured, 0.4 us less for the two of the default chain.
    """
    proceed = innermost
    observers: list[Completion] = []
    for each in reversed(filters):
        if isinstance(each, Observer):
            observers.insert(0, each.observe)
            continue
        proceed = _layer(each, _observing(observers, proceed))
        observers = []
    return _observing(observers, proceed)


def _observing(observers: list[Completion], proceed: Proceed) -> Proceed:
    if not observers:
        return proceed

    def observed(call: Call) -> Awaitable[Reply]:
        if call._completions is None:
            call._completions = observers.copy()
        else:
            call._completions += observers
        return proceed(call)

    return observed


def _layer(each: Filter, proceed: Proceed) -> Proceed:
    # A closure over the bound method: for six layers 0.7 us less than partial(each, proceed=proceed).
    run = each if isroutine(each) else each.__call__
    return lambda call: run(call, proceed)


class Driver:
    """Steps one call through its chain, and can stop it from outside.

    `done(call, reply, error)` is called exactly once: with a reply, or with what was raised.  It may be called before
    `start` returns.  Each step runs in the call's own context, so that context variables stay with the call.
    """

    __slots__ = ("_context", "_coroutine", "_done", "_error", "_parked", "_running", "_send", "call", "cancelled_at")

    def __init__(self, call: Call, done: Done) -> None:
        self.call = call
        self._done = done
        self._context: Context = _clean.copy()
        self._coroutine: Any = None
        self._send: Any = None
        self._parked: Any = None
        self._running = False
        # What is to be thrown next.  Exceptions travel in this slot and not in locals of the frames that they pass
        # through: each would be a cycle (frame, exception, traceback) for the garbage collector to find.
        self._error: Optional[BaseException] = None
        self.cancelled_at = 0.0

    def __repr__(self) -> str:
        state = "done" if self.finished else "running" if self._running else "parked" if self._send else "new"
        return f"<Driver {state} {self.call!r}>"

    @property
    def finished(self) -> bool:
        """Whether `done` has been called."""
        return self._done is _nothing

    def start(self, proceed: Proceed) -> None:
        """Begin.  What the chain raises at once comes out of `done` as well."""
        self._running = True
        try:
            awaitable: Any = self._context.run(proceed, self.call)
            if type(awaitable) is not CoroutineType:
                awaitable = _awaited(awaitable)
        except BaseException as error:
            self._error = error
        else:
            self._coroutine = awaitable
            self._send = awaitable.send
            self._step()
            return
        self._finish(None)

    def cancel(self, reason: Cancelled) -> None:
        """Stop the call: what it waits for is let go or cancelled, then `reason` is thrown into it.

        A coroutine that is running now, or has not begun, gets it where it next waits.  Cancelling twice throws twice,
        which is how a ``finally`` that never ends is ended.
        """
        if self._done is _nothing:
            return
        self._error = reason
        del reason
        if self._running or self._coroutine is None:
            return
        self._running = True
        try:
            self._unhook()
        except Exception:
            _log.failure("letting go of what {call!r} waited for failed", call=self.call)
        self._step()

    def _step(self) -> None:
        """Run the coroutine until it waits for something that has not happened, or ends."""
        self._running = True
        self._parked = None
        run = self._context.run
        try:
            while True:
                parked = run(self._send, None) if self._error is None else run(self._throw)
                if self._error is not None:
                    # Cancelled by what it ran itself.
                    _let_go(parked)
                elif type(parked) is Parked:
                    self._parked = parked
                    parked.resume = self._step
                    self._running = False
                    return
                elif self._hook(parked):
                    self._running = False
                    return
        except StopIteration as stop:
            reply = stop.value
            self._error = None
        except BaseException as error:
            reply = None
            self._error = error
        self._finish(reply)

    def _throw(self) -> Any:
        error, self._error = self._error, None
        try:
            return self._coroutine.throw(error)
        finally:
            del error

    def _finish(self, reply: Optional[Reply]) -> None:
        # Not inside the ``except``, or whatever the next call of this connection raises would be chained to it.
        error, self._error = self._error, None
        done, self._done = self._done, _nothing
        self._coroutine = self._send = None
        self._running = False
        done(self.call, reply, error)

    # --- what is not on the hot path: other people's awaitables

    def _hook(self, parked: Any) -> bool:
        """Wait for `parked`.  Returns False if the coroutine can go on at once, or must be thrown at."""
        try:
            if isinstance(parked, Parked):
                self._parked = parked
                parked.resume = self._step
                return True
            if isinstance(parked, Deferred):
                waiting = _DeferredWait(self)
                self._parked = (parked, waiting)
                parked.addBoth(waiting.fired)
                return not waiting.early
            if parked is None:
                # asyncio.sleep(0) and its like yield nothing: go on in the next turn of the loop.
                self._parked = asyncio.get_running_loop().call_soon(self._step)
                return True
            if getattr(parked, "_asyncio_future_blocking", None) is None:
                raise TypeError(f"a filter awaited something that cannot be awaited here: {parked!r}")
            parked._asyncio_future_blocking = False
            parked.add_done_callback(self._future_done)
            self._parked = parked
            return True
        except Exception as error:
            self._error = error
            return False

    def _future_done(self, future: Any) -> None:
        if self._parked is future:
            self._step()

    def _unhook(self) -> None:
        parked, self._parked = self._parked, None
        if isinstance(parked, Parked):
            parked.resume = None
        elif isinstance(parked, tuple):
            deferred, waiting = parked
            waiting.driver = None
            deferred.cancel()
        elif parked is not None:
            if hasattr(parked, "remove_done_callback"):
                parked.remove_done_callback(self._future_done)
                parked.add_done_callback(_look_after)
            parked.cancel()


def _nothing(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
    """Stands in for `done` once it has been called."""


async def _awaited(awaitable: Awaitable[Reply]) -> Reply:
    """Make a coroutine of what a filter that is none returned: a Deferred, a future, by mistake a Reply."""
    return await awaitable


def _let_go(parked: Any) -> None:
    """Cancel what a coroutine wanted to wait for although it is being cancelled."""
    try:
        if isinstance(parked, Deferred):
            parked.addErrback(lambda failure: None)
            parked.cancel()
        elif getattr(parked, "_asyncio_future_blocking", None) is not None:
            parked._asyncio_future_blocking = False
            parked.cancel()
    except Exception:
        _log.failure("cancelling {parked!r} failed", parked=parked)


def _look_after(future: Any) -> None:
    """Take the outcome of a future that was cancelled, as nobody else will; what is wrong there is still logged."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, (MeshError, Cancelled)):
        _log.failure("{future!r} failed when its call was cancelled", failure=Failure(error), future=future)


class _DeferredWait:
    """Waits for one Deferred on behalf of a driver."""

    __slots__ = ("driver", "early")

    def __init__(self, driver: Driver) -> None:
        self.driver: Optional[Driver] = driver
        self.early = False

    def fired(self, result: Any) -> Any:
        driver, self.driver = self.driver, None
        failed = isinstance(result, Failure)
        if driver is not None:
            if failed:
                driver._error = result.value
            if driver._running:
                # It had fired before we hooked it.
                self.early = True
            else:
                driver._step()
        return None if failed else result


class CallTable:
    """The calls in flight of one listener, watched by the listener's one timer.

    The sweep cancels what has passed its route timeout (`Cancelled` of `Kind.TIMEOUT`) and throws again at cancelled
    chains that do not end.
    """

    __slots__ = ("_now", "_sweep", "drivers")

    def __init__(self, now: Callable[[], float], sweep: Sweep) -> None:
        self._now = now
        self._sweep = sweep
        self.drivers: set[Driver] = set()
        sweep.add(self.look)

    def __len__(self) -> int:
        return len(self.drivers)

    def add(self, driver: Driver) -> None:
        """Watch over a call until `discard`."""
        if not self.drivers:
            self._sweep.wake()
        self.drivers.add(driver)

    def discard(self, driver: Driver) -> None:
        """The call's chain has ended."""
        self.drivers.discard(driver)

    def look(self) -> bool:
        """Look at every call once; returns whether there are any."""
        now = self._now()
        for driver in [each for each in self.drivers if _overdue(each, now)]:
            again = driver.cancelled_at > 0.0
            driver.cancelled_at = now
            kind = Kind.INTERNAL if again else Kind.TIMEOUT
            driver.cancel(Cancelled(kind, "the filter did not end after it was cancelled" if again else ""))
        return bool(self.drivers)

    def cancel(self, driver: Driver, reason: Cancelled) -> None:
        """Cancel one call, and see to it that it ends."""
        driver.cancelled_at = self._now()
        try:
            driver.cancel(reason)
        finally:
            del reason

    def cancel_all(self, kind: Kind) -> None:
        """Cancel every call in flight."""
        for driver in list(self.drivers):
            self.cancel(driver, Cancelled(kind))


def _overdue(driver: Driver, now: float) -> bool:
    if driver.cancelled_at:
        return now - driver.cancelled_at > CLEANUP_LIMIT
    call = driver.call
    return call.timeout is not None and call.received > 0.0 and now >= call.received + call.timeout
