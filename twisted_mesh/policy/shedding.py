"""Which calls a process refuses that has more to do than it can: low priority first, and ever more of them."""

from __future__ import annotations

from collections import deque
from typing import Mapping, NamedTuple, Optional

LOW, DEFAULT, HIGH = -1, 0, 1
PRIORITIES: Mapping[str, int] = {"low": LOW, "default": DEFAULT, "high": HIGH}
NAMES: Mapping[int, str] = {value: name for name, value in PRIORITIES.items()}

# From which part of a limit on the first calls of a priority are refused, and from which on all.  A lag can grow far
# above its limit, and comes back by itself; of memory there is none above it.
LAG: Mapping[int, tuple[float, float]] = {LOW: (0.5, 1.0), DEFAULT: (1.0, 2.0), HIGH: (2.0, 4.0)}
MEMORY: Mapping[int, tuple[float, float]] = {LOW: (0.8, 0.9), DEFAULT: (0.9, 1.0), HIGH: (0.95, 1.05)}

# Lags of which the median counts: a single pause (a garbage collection) is no queue, what does not go away is.
STANDING = 5


class Limits(NamedTuple):
    """Seconds of lag and bytes of memory; None where there is no limit."""

    lag: Optional[float] = None
    memory: Optional[int] = None


def refused(priority: int, lag: float, memory: int, limits: Limits) -> tuple[float, str]:
    """Return the share of the calls of a priority that are to be refused, 0.0 to 1.0, and for which limit."""
    by_lag = 0.0 if limits.lag is None else _share(lag / limits.lag, *LAG[priority])
    by_memory = 0.0 if limits.memory is None else _share(memory / limits.memory, *MEMORY[priority])
    return (by_lag, "lag") if by_lag >= by_memory else (by_memory, "memory")


def _share(used: float, first: float, whole: float) -> float:
    return min(1.0, max(0.0, (used - first) / (whole - first)))


class StandingLag:
    """How far a loop is behind for some time already: the median of the last lags.

    The idea is CoDel's (RFC 8289), which goes by the smallest; but a timer may come in time by chance between two turns
    of a loop that has far too much to do.
    """

    __slots__ = ("_lags", "value")

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=STANDING)
        self.value = 0.0

    def __repr__(self) -> str:
        return f"<StandingLag {self.value * 1e3:.1f} ms>"

    def observe(self, lag: float) -> None:
        """The loop came so many seconds late."""
        self._lags.append(max(0.0, lag))
        self.value = sorted(self._lags)[STANDING // 2] if len(self._lags) == STANDING else 0.0

    def clear(self) -> None:
        """Nobody has looked for a while."""
        self._lags.clear()
        self.value = 0.0
