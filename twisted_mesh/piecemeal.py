"""Letting go of much, a little at a time: freeing a thousand routes and their clusters at once takes 20 ms."""

from __future__ import annotations

from typing import Any
from weakref import finalize

from twisted.internet.interfaces import IReactorTime

# Items that are let go in one turn of the loop: half a millisecond for routes that have a cluster each.
FEW = 20


def free_piecemeal(owner: object, items: list[Any], clock: IReactorTime) -> None:
    """Have `items` outlive `owner`, whose they are, and go a few at a time once nobody has it any more.

    Whoever has it last may be a call that has been in flight since before a change.
    """
    finalize(owner, _let_go, items, clock).atexit = False


def _let_go(items: list[Any], clock: IReactorTime) -> None:
    del items[-FEW:]
    if items:
        clock.callLater(0, _let_go, items, clock)
