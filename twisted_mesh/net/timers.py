"""Timers that `net` sets on the loop itself.

A loop does not tell which timers it has, uvloop's not to anybody; so those that are set here are known here, for the
gauges of the process.  None of them is on the way of a call: they are for a connect that has to wait, a connection that
lingers, a listener that pauses.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable
from weakref import WeakSet

# The loop holds a timer for as long as it is to come; whoever has set it may hold it for longer.
_SET: WeakSet[asyncio.TimerHandle] = WeakSet()


def later(
    loop: asyncio.AbstractEventLoop, seconds: float, act: Callable[..., object], *arguments: Any
) -> asyncio.TimerHandle:
    """Do as ``loop.call_later`` does."""
    timer = loop.call_later(seconds, act, *arguments)
    _SET.add(timer)
    return timer


def pending(now: float) -> int:
    """Return how many of these timers are to come.

    :param now: the loop's own time.
    """
    return sum(not each.cancelled() and each.when() > now for each in list(_SET))
