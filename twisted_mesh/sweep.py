"""One timer that watches over many deadlines.

A timer of its own for each call would cost 2 us to set and cancel; a number that one timer looks at costs nothing.
"""

from __future__ import annotations

from types import MethodType
from typing import Callable, Optional
from weakref import WeakMethod

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

# Seconds between two looks: the precision of every timeout that is swept.
SWEEP_INTERVAL = 0.025

Look = Callable[[], bool]

_log = Logger()


class Sweep:
    """Calls its looks every `interval` seconds while any of them has something to watch.

    A look returns whether it still watches anything.  When none does the timer stops, so an idle process sleeps;
    `wake` starts it again and costs next to nothing when it runs.  A look that raises is logged and called again.

    Whose method a look is is kept alive while the timer runs and not by that alone: most have the Sweep themselves, and
    would be garbage that only a collector finds.
    """

    __slots__ = ("_clock", "_interval", "_looks", "_timer")

    def __init__(self, clock: IReactorTime, interval: float = SWEEP_INTERVAL) -> None:
        self._clock = clock
        self._interval = interval
        # What returns each look, or None once it is gone.
        self._looks: list[Callable[[], Optional[Look]]] = []
        self._timer: Optional[IDelayedCall] = None

    @property
    def first(self) -> Optional[Look]:
        """The look that was added first and is there: it says whose timer this is."""
        return next(iter(self._alive()), None)

    def add(self, look: Look) -> None:
        """Have `look` called from now on."""
        self._looks.append(WeakMethod(look) if isinstance(look, MethodType) else _Kept(look))

    def remove(self, look: Look) -> None:
        """Stop calling `look`."""
        self._looks = [each for each in self._looks if each() != look]

    def wake(self) -> None:
        """There is something to watch."""
        if self._timer is None:
            self._timer = self._clock.callLater(self._interval, self._tick, self._alive())

    def stop(self) -> None:
        """Stop for good."""
        self._looks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _alive(self) -> list[Look]:
        """Return the looks whose owners are still there, and forget the others."""
        looks = [look for each in self._looks if (look := each()) is not None]
        if len(looks) < len(self._looks):
            self._looks = [each for each in self._looks if each() is not None]
        return looks

    def _tick(self, kept: list[Look]) -> None:
        self._timer = None
        busy = False
        for look in self._alive():
            try:
                busy = look() or busy
            except Exception:
                # Without this one error would end every timeout of the listener.
                _log.failure("a look at deadlines failed: {look!r}", look=look)
                busy = True
        if busy and self._looks:
            self.wake()


class _Kept:
    """Stands in for a weak reference to what is no method."""

    __slots__ = ("_look",)

    def __init__(self, look: Look) -> None:
        self._look = look

    def __call__(self) -> Look:
        return self._look
