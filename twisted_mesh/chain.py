"""Filters made one, and the hand that steps them.

`compose` folds a list of filters into one function.  A `Driver` runs the coroutine that this function returns, for one
call: no Task, no Deferred, no timer.  It understands what user filters may await: `Parked`, Deferreds, asyncio futures.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from functools import partial
from typing import Any, Callable, Optional, Sequence

from twisted.internet.defer import Deferred

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.interfaces import Filter, Proceed
from twisted_mesh.park import Parked
from twisted_mesh.sweep import Sweep

# How long a cancelled filter may go on awaiting in its ``finally`` before it is thrown at again; seconds.
CLEANUP_LIMIT = 5.0

Done = Callable[[Call, Optional[Reply], Optional[BaseException]], None]


def compose(filters: Sequence[Filter], innermost: Proceed) -> Proceed:
    """Fold filters, outermost first, round `innermost`."""
    proceed = innermost
    for each in reversed(filters):
        proceed = partial(each, proceed=proceed)
    return proceed


class Driver:
    """Steps one call through its chain, and can stop it from outside.

    `done(call, reply, error)` is called exactly once: with a reply, or with what was raised.  It may be called before
    `start` returns.  Each step runs in the call's own context, so that context variables stay with the call.
    """

    __slots__ = ("_cancel", "_context", "_coroutine", "_done", "_parked", "_running", "_send", "call", "cancelled_at")

    def __init__(self, call: Call, done: Done) -> None:
        self.call = call
        self._done = done
        self._context: Context = copy_context()
        self._coroutine: Any = None
        self._send: Any = None
        self._parked: Any = None
        self._running = False
        self._cancel: Optional[Cancelled] = None
        self.cancelled_at = 0.0

    def __repr__(self) -> str:
        state = "running" if self._running else "parked" if self._parked is not None else "done"
        return f"<Driver {state} {self.call!r}>"

    @property
    def finished(self) -> bool:
        """Whether `done` has been called."""
        return self._coroutine is None and self._done is _nothing

    def start(self, proceed: Proceed) -> None:
        """Begin.  What the chain raises at once comes out of `done` as well."""
        self._running = True
        try:
            awaitable: Any = self._context.run(proceed, self.call)
            send = getattr(awaitable, "send", None)
            self._coroutine = awaitable if send is not None else awaitable.__await__()
        except BaseException as error:
            self._running = False
            self._finish(None, error)
            return
        self._send = send if send is not None else self._next
        self._step()

    def cancel(self, reason: Cancelled) -> None:
        """Stop the call: what it waits for is let go or cancelled, then `reason` is thrown into it.

        A coroutine that is running now gets it where it next waits.  Cancelling twice throws twice, which is how a
        ``finally`` that never ends is ended.
        """
        if self._coroutine is None:
            return
        self._cancel = reason
        if not self._running:
            self._unhook()
            self._step()

    def _next(self, value: None) -> Any:
        return next(self._coroutine)

    def _step(self) -> None:
        """Run the coroutine until it waits for something that has not happened, or ends."""
        self._running = True
        self._parked = None
        run = self._context.run
        try:
            while True:
                cancel = self._cancel
                if cancel is None:
                    parked = run(self._send, None)
                else:
                    self._cancel = None
                    parked = run(self._coroutine.throw, cancel)
                if self._cancel is None:
                    if type(parked) is Parked:
                        self._parked = parked
                        parked.resume = self._step
                        self._running = False
                        return
                    if self._hook(parked):
                        self._running = False
                        return
                else:
                    _let_go(parked)
        except StopIteration as stop:
            self._running = False
            self._finish(stop.value, None)
        except BaseException as error:
            self._running = False
            self._finish(None, error)

    def _finish(self, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self._coroutine = self._send = None
        done, self._done = self._done, _nothing
        done(self.call, reply, error)

    # --- what is not on the hot path: other people's awaitables

    def _hook(self, parked: Any) -> bool:
        """Wait for `parked`.  Returns False if it has happened already and the coroutine can go on."""
        self._parked = parked
        if isinstance(parked, Deferred):
            waiting = _DeferredWait(self)
            self._parked = (parked, waiting)
            parked.addBoth(waiting.fired)
            return not waiting.early
        if parked is None:
            # asyncio.sleep(0) and its like yield nothing: go on in the next turn of the loop.
            import asyncio

            handle = asyncio.get_running_loop().call_soon(self._step)
            self._parked = handle
            return True
        if getattr(parked, "_asyncio_future_blocking", None) is not None:
            parked._asyncio_future_blocking = False
            parked.add_done_callback(self._future_done)
            return True
        self._parked = None
        raise TypeError(f"a filter awaited something that cannot be awaited here: {parked!r}")

    def _future_done(self, future: Any) -> None:
        if self._parked is future:
            self._step()

    def _throw(self, error: BaseException) -> None:
        """Go on by raising `error` where the coroutine waits."""
        coroutine = self._coroutine
        self._send = partial(_throw_once, self, coroutine, error)
        self._step()

    def _unhook(self) -> None:
        parked, self._parked = self._parked, None
        if isinstance(parked, tuple):
            deferred, waiting = parked
            waiting.driver = None
            deferred.cancel()
        elif parked is not None and not isinstance(parked, (Parked, Deferred)):
            if hasattr(parked, "remove_done_callback"):
                parked.remove_done_callback(self._future_done)
            parked.cancel()
        elif isinstance(parked, Parked):
            parked.resume = None


def _throw_once(driver: Driver, coroutine: Any, error: BaseException, value: None) -> Any:
    driver._send = coroutine.send if hasattr(coroutine, "send") else driver._next
    return coroutine.throw(error)


def _nothing(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
    """Stands in for `done` once it has been called."""


def _let_go(parked: Any) -> None:
    """Cancel what a coroutine wanted to wait for although it is being cancelled."""
    if isinstance(parked, Deferred):
        parked.addErrback(lambda failure: None)
        parked.cancel()
    elif parked is not None and not isinstance(parked, Parked):
        parked._asyncio_future_blocking = False
        parked.cancel()


class _DeferredWait:
    """Waits for one Deferred on behalf of a driver."""

    __slots__ = ("driver", "early", "returned")

    def __init__(self, driver: Driver) -> None:
        self.driver: Optional[Driver] = driver
        self.early = False
        self.returned = False

    def fired(self, result: Any) -> Any:
        from twisted.python.failure import Failure

        driver, self.driver = self.driver, None
        if driver is None:
            return None
        failed = isinstance(result, Failure)
        if driver._running:
            # It had fired before we hooked it.
            self.early = True
            if failed:
                error = result.value
                driver._send = partial(_throw_once, driver, driver._coroutine, error)
                return None
            return result
        if failed:
            driver._throw(result.value)
            return None
        driver._parked = None
        driver._step()
        return result


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
        driver.cancel(reason)

    def cancel_all(self, kind: Kind) -> None:
        """Cancel every call in flight."""
        for driver in list(self.drivers):
            self.cancel(driver, Cancelled(kind))


def _overdue(driver: Driver, now: float) -> bool:
    if driver.cancelled_at:
        return now - driver.cancelled_at > CLEANUP_LIMIT
    call = driver.call
    return call.timeout is not None and call.received > 0.0 and now >= call.received + call.timeout
