"""How much the process has to do: how far its loop is behind, and how much memory it holds.

Measured only while somebody wants to know: nothing ticks in a process that is idle, or that sheds no load.
"""

from __future__ import annotations

import os
from typing import Callable

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.policy.shedding import StandingLag

# Seconds from one look to the next.
TICK = 0.05
# Ticks without a question after which nobody looks any more.
PATIENCE = 20
# Ticks from one look at the memory to the next: a quarter of a second.
MEMORY_EVERY = 5


def resident() -> int:
    """Return the bytes of memory that the process holds; 0 where the platform does not tell (it does on Linux)."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


class Strain:
    """`lag` is in seconds, `memory` in bytes, both as of the last tick; `turn` grows with each tick.

    Whoever wants to know calls `ask` each time.
    """

    def __init__(self, clock: IReactorTime, now: Callable[[], float], measure: Callable[[], int] = resident) -> None:
        self._clock = clock
        self._now = now
        self._measure = measure
        self._standing = StandingLag()
        self._asked = False
        self._ticking = False
        self._unasked = 0
        self._due = 0.0
        self.lag = 0.0
        self.memory = 0
        self.turn = 0

    def __repr__(self) -> str:
        return f"<Strain lag={self.lag * 1e3:.0f}ms memory={self.memory >> 20}MiB>"

    def ask(self) -> None:
        """Say that somebody goes by `lag` and `memory`."""
        self._asked = True
        if not self._ticking:
            self._ticking = True
            self._unasked = 0
            self.memory = self._measure()
            self.turn += 1
            self._wait()

    def _wait(self) -> None:
        self._due = self._now() + TICK
        self._clock.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._unasked = 0 if self._asked else self._unasked + 1
        self._asked = False
        self.turn += 1
        if self._unasked >= PATIENCE:
            self._ticking = False
            self._standing.clear()
            self.lag = 0.0
            return
        self._standing.observe(self._now() - self._due)
        self.lag = self._standing.value
        if self.turn % MEMORY_EVERY == 0:
            self.memory = self._measure()
        self._wait()
