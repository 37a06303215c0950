"""One Clock for everything that waits: Twisted's timers, and asyncio's.

Filters may use either, so a test needs both under one hand.  `Clock` is Twisted's own, with an asyncio loop that knows
no sockets and no time but the Clock's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Callable, Coroutine, Generator, Iterator, Optional, Union

from twisted.internet import task
from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.tasks import task_factory

# Callbacks that may run one after another while no time passes: far more than any test needs, so that a filter that
# waits in a circle fails its test instead of hanging it.
MOST_STEPS = 100_000


class Clock(task.Clock):
    """Time that passes only when a test says so.

    It begins at 1,000 seconds, as a call's times are 0.0 while they are unknown.  `loop` is its asyncio loop.
    """

    def __init__(self, start: float = 1000.0) -> None:
        super().__init__()
        self.rightNow = start
        self.loop = ClockLoop(self)

    def advance(self, amount: float) -> None:
        """Let time pass.

        What is due runs in the order of its time, and all that one timer sets going has run before the next.
        """
        end = self.rightNow + amount
        with self.loop.running():
            self.loop.run_ready()
            while True:
                due = min((each.getTime() for each in self.getDelayedCalls()), default=end)
                self.rightNow = max(self.rightNow, min(due, end))
                super().advance(0)
                self.loop.run_ready()
                if due >= end:
                    return


# Abstract on paper only: what is not overridden raises NotImplementedError, as it should here.
_Loop: Any = asyncio.AbstractEventLoop


class ClockLoop(_Loop):  # type: ignore[misc]  # its class is Any, for the reason above
    """An asyncio loop without a selector: tasks, futures, timers and what is built of them.

    `run_in_executor`, and so ``asyncio.to_thread``, runs its function at once.  `errors` holds what callbacks and
    forgotten tasks raised.
    """

    def __init__(self, clock: task.Clock) -> None:
        self._clock = clock
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[int, IDelayedCall] = {}
        self._depth = 0
        self.errors: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop for as long as this lasts."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            asyncio._set_running_loop(outer)

    def run_ready(self) -> None:
        """Run what is ready, and what that makes ready, until nothing is.

        :raises AssertionError: it does not end.
        """
        with self.running():
            for _ in range(MOST_STEPS):
                if not self._ready:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        raise AssertionError(f"{MOST_STEPS} callbacks ran without any time passing; the next is {self._ready[0]!r}")

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self._clock.seconds()

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Optional[Context] = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Optional[Context] = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Optional[Context] = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Optional[Context] = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers[id(handle)] = self._clock.callLater(max(0.0, when - self.time()), self._due, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Union[Generator[Any, None, Any], Coroutine[Any, Any, Any]], **options: Any
    ) -> asyncio.Task[Any]:
        return task_factory(self, coro, **options)

    def get_task_factory(self) -> Any:
        return task_factory

    async def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        return func(*args)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._depth > 0

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or RuntimeError(context.get("message")))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        timer = self._timers.pop(id(handle), None)
        if timer is not None and timer.active():
            timer.cancel()

    def _due(self, handle: asyncio.TimerHandle) -> None:
        del self._timers[id(handle)]
        self._ready.append(handle)
