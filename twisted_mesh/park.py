"""The one awaitable of the hot path.

Making a Deferred costs about 1 us and a Task 5 us; a `Parked` costs a tenth of that.  It has room for one waiter, which
is all that a call ever needs: what several calls wait for gives each a `Parked` of its own.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Callable, Generator, Generic, Optional, TypeVar

T = TypeVar("T")


def cancel_again() -> None:
    """Have the running task cancelled where it next waits, in the place of the cancellation that was just caught."""
    task = asyncio.current_task()
    assert task is not None
    # Before Python 3.11 tasks do not count how often they were cancelled.
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()
    task.cancel()


class Parked(Generic[T]):
    """Something that one coroutine waits for.

    Await it, and call `fire` or `fail` once.  Firing before the coroutine has got here is fine: it then does not wait.
    """

    __slots__ = ("done", "error", "resume", "value")

    def __init__(self) -> None:
        self.done = False
        self.resume: Optional[Callable[[], Any]] = None
        self.error: Optional[BaseException] = None
        self.value: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            try:
                yield self
            except asyncio.CancelledError:
                if not self._handed_out():
                    self.forget()
                    raise
                cancel_again()
        if self.error is not None:
            try:
                raise self.error
            finally:
                # The traceback holds the waiter, which holds this: let go of the error, or all wait for the collector.
                self.error = RuntimeError("this failed, and was awaited again")
        value: T = self.value
        return value

    def fire(self, value: T) -> None:
        """Give the waiter its value, and run it now."""
        self.done = True
        self.value = value
        resume = self.resume
        if resume is not None:
            self.resume = None
            resume()

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the waiter, and run it now."""
        self.done = True
        self.error = error
        del error  # as above: where the waiter raises it, this frame stands in its traceback
        resume = self.resume
        if resume is not None:
            self.resume = None
            resume()

    def forget(self) -> None:
        """Whoever has waited does not any more: what comes is nobody's."""
        self.resume = None

    def _handed_out(self) -> bool:
        """Whether this has its value already, although the task that waits for it is being cancelled.

        A task wakes one turn of the loop later.  If it were cancelled in between, what the value stands for (a
        connection, a turn in a queue) would be nobody's, so the task gets it and is cancelled where it next waits.
        """
        if not self.done or not (self.error is None or isinstance(self.error, asyncio.CancelledError)):
            return False
        self.error = None
        return True

    # --- where a filter runs the rest of its chain in an asyncio task, the task takes this for a future

    @property
    def _asyncio_future_blocking(self) -> bool:
        return True

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, blocking: bool) -> None:
        """A task says that it has seen this; nothing here needs to know."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task that waits."""
        return asyncio.get_running_loop()

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Any = None) -> None:
        """Have the task woken, in the next turn of its loop, once this is done."""
        self.resume = partial(asyncio.get_running_loop().call_soon, wake, self, context=context)

    def result(self) -> None:
        """Raise what the task is to have thrown into it: that it was cancelled.  The rest comes by `__await__`."""
        if isinstance(self.error, asyncio.CancelledError):
            raise self.error

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled: it waits no longer."""
        resume, self.resume = self.resume, None
        if resume is None:
            return False
        self.error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        resume()
        return True
