"""Filters' coroutines inside asyncio tasks.

``asyncio.timeout``, aiohttp and their like need a task round them.  A task waits for futures, and for `Parked`, which
passes for one, but not for Deferreds: those `in_task` translates.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import Any, Awaitable, Generator, Optional, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


async def in_task(awaitable: Awaitable[T]) -> T:
    """Await something in a task, and whatever it awaits, Deferreds too.

    Cancelling the task cancels the Deferred that it waits for.  A coroutine that is run in one more task of its own
    (``asyncio.gather`` does that) needs an `in_task` of its own if it awaits Deferreds.
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

    def fired(result: Any) -> Any:
        failed = isinstance(result, Failure)
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
        deferred.cancel()
        raise
