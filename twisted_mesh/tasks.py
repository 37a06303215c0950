"""Filters' coroutines inside asyncio tasks.

``asyncio.timeout``, aiohttp and their like need a task round them, and what a filter runs in one may be the rest of its
chain.  A task waits for futures, and for `Parked`, which passes for one, but not for Deferreds: those `in_task`
translates, in one task, and `understand_deferreds` in every task of a loop, as ``asyncio.gather`` makes its own.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import Any, Awaitable, Generator, Optional, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_mesh.park import cancel_again

T = TypeVar("T")


def understand_deferreds(loop: asyncio.AbstractEventLoop) -> None:
    """Have every task that this loop makes from now on understand Deferreds.

    A loop that has a task factory already keeps it.
    """
    if loop.get_task_factory() is None:
        loop.set_task_factory(task_factory)


def task_factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that understands Deferreds."""
    return asyncio.Task(in_task(coro), loop=loop, **options)


async def in_task(awaitable: Awaitable[T]) -> T:
    """Await something in a task, and whatever it awaits, Deferreds too.

    Cancelling the task cancels the Deferred that it waits for.
    """
    result: T = await _translated(awaitable)
    return result


@coroutine
def _translated(awaitable: Awaitable[Any]) -> Generator[Any, None, Any]:
    inner = _steps(awaitable)
    error: Optional[BaseException] = None
    while True:
        try:
            waits_for = inner.send(None) if error is None else inner.throw(error)
        except StopIteration as stop:
            return stop.value
        finally:
            # The traceback of an error that comes out holds this frame.
            error = None
        try:
            if isinstance(waits_for, Deferred):
                yield from _future(waits_for)
            else:
                yield waits_for
        except BaseException as caught:
            error = caught


async def _steps(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _future(deferred: Deferred[Any]) -> Generator[Any, None, None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    fired_well = False

    def fired(result: Any) -> Any:
        nonlocal fired_well
        failed = isinstance(result, Failure)
        fired_well = not failed
        if not future.done():
            if failed:
                future.set_exception(result.value)
            else:
                future.set_result(None)
        return None if failed else result

    deferred.addBoth(fired)
    try:
        yield from future
    except asyncio.CancelledError:
        if not fired_well:
            deferred.cancel()
            raise
        # As `Parked` does: what came is not lost, and the task is cancelled where it next waits.
        cancel_again()
