"""What share of the latencies of late was below which: a histogram whose buckets grow, and that forgets.

As in HdrHistogram and DDSketch, a bucket is a fixed share wider than the one before, so that the answer is off by at
most half of that share whatever the latency; 160 of them reach from 50 us to over two minutes.
"""

from __future__ import annotations

import math

_FIRST = 50e-6
_GROWTH = 1.1
_BUCKETS = 160
_LOG_GROWTH = math.log(_GROWTH)


class Quantile:
    """Estimates one quantile of what was observed within the last one to two windows.

    :param share: of the observations that are to be below the estimate, as 0.95.
    :param window: seconds.
    :param least: observations without which there is no estimate.
    """

    __slots__ = ("_before", "_counts", "_ends", "_estimate", "_fresh", "_least", "_seen", "_share", "_window")

    def __init__(self, share: float, window: float = 10.0, least: int = 50) -> None:
        self._share = share
        self._window = window
        self._least = least
        self._counts = [0] * _BUCKETS
        self._before = [0] * _BUCKETS
        self._ends = float("-inf")
        # How many observations there are, of which so many came since the estimate was made.
        self._seen = self._fresh = 0
        self._estimate = math.inf

    def __repr__(self) -> str:
        return f"<Quantile {self._share:g} is {self._estimate:.6g} s, of {self._seen}>"

    def observe(self, seconds: float, now: float) -> None:
        """Take in a latency."""
        if now >= self._ends:
            self._turn(now)
        place = int(math.log(seconds / _FIRST) / _LOG_GROWTH) + 1 if seconds > _FIRST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self._seen += 1
        self._fresh += 1

    def estimate(self, now: float) -> float:
        """Return the latency that the share is below, in seconds; infinity while too little is known."""
        if now >= self._ends:
            self._turn(now)
        if self._fresh * 20 >= self._seen or (self._estimate == math.inf and self._seen >= self._least):
            # It can have moved by a twentieth of the observations at most.
            self._estimate = self._look()
            self._fresh = 0
        return self._estimate

    def _look(self) -> float:
        if self._seen < self._least:
            return math.inf
        wanted = self._share * self._seen
        below = 0
        for place in range(_BUCKETS):
            below += self._counts[place] + self._before[place]
            if below >= wanted:
                break
        # The middle of the bucket, in the measure in which all are as wide.
        return float(_FIRST * _GROWTH ** (place - 0.5)) if place else _FIRST

    def _turn(self, now: float) -> None:
        """Forget the window before last."""
        stale = now - self._ends >= self._window
        self._before = [0] * _BUCKETS if stale else self._counts
        self._counts = [0] * _BUCKETS
        self._ends = now + self._window if stale else self._ends + self._window
        self._fresh = self._seen = sum(self._before)
