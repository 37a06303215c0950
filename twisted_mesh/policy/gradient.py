"""How many calls at once an upstream can take, found out from its latency: Envoy's gradient controller.

A limit that is right lets the upstream work without a queue.  So the latency of late is compared with what it is when
there can be no queue, the *ideal*, which is measured from time to time with very few calls at once.  Every interval::

    gradient = ideal * (1 + buffer) / latency        between 0.5 and 2
    limit    = gradient * limit + sqrt(limit)

The root is the headroom by which a limit grows while nothing is slow.  Unlike Envoy's, a limit that is not used does
not grow: calls that never came prove nothing, and a burst after a quiet night would meet no limit.
"""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Callable, NamedTuple

# Latencies of one interval that are looked at.
_SAMPLES = 500
# Intervals in a row at the least limit after which the ideal is doubted: the upstream may have become slower for good.
_DOUBTED = 5
# Seconds until the ideal is measured again where every call failed meanwhile.
_AGAIN = 1.0
_STEEPEST, _FLATTEST = 0.5, 2.0


class GradientRule(NamedTuple):
    """`least` and `most` bound the limit; the ideal is measured with `least` calls at once, from the latencies of
    `samples` calls, every `every` seconds and up to a share `jitter` later, so that not all do so at once; latency
    may be a share `buffer` above the ideal; `percentile` of the latencies of an `interval` is what counts."""

    least: int = 3
    most: int = 1000
    buffer: float = 0.25
    percentile: float = 50.0
    interval: float = 0.1
    every: float = 60.0
    samples: int = 50
    jitter: float = 0.15


class Gradient:
    """One limit.  Times are seconds of one monotonic clock.

    `limit` is what may be in flight now, `ideal` the latency without a queue (0.0 until it is known), `latency` that of
    the last interval, `measuring` whether the ideal is being measured.
    """

    __slots__ = (
        "_at_least",
        "_before",
        "_dice",
        "_ends",
        "_failed",
        "_peak",
        "_rule",
        "_samples",
        "_since",
        "_when",
        "ideal",
        "latency",
        "limit",
        "measuring",
    )

    def __init__(self, rule: GradientRule, dice: Callable[[], float], now: float) -> None:
        self._rule = rule
        self._dice = dice
        self.limit = self._before = rule.least
        self.ideal = 0.0
        self.latency = 0.0
        self.measuring = False
        self._samples: list[float] = []
        # When the present interval ends, and when the ideal is to be measured next.
        self._ends = inf
        self._when = inf
        # Since when; calls that had begun before had others beside them.
        self._since = now
        self._peak = 0
        self._failed = 0
        self._at_least = 0
        self._measure(now)

    def __repr__(self) -> str:
        state = "measuring" if self.measuring else f"{self.latency * 1e3:.1f} ms of {self.ideal * 1e3:.1f}"
        return f"<Gradient limit={self.limit} {state}>"

    def begun(self, active: int, now: float) -> None:
        """A call was let through; with it there are `active`."""
        self._peak = max(self._peak, active)
        if now >= self._when and not self.measuring:
            self._measure(now)

    def ended(self, seconds: float, now: float) -> None:
        """A call took so long."""
        if self.measuring:
            if now - seconds >= self._since:
                self._samples.append(seconds)
                self._maybe_measured(now)
            return
        if len(self._samples) < _SAMPLES:
            self._samples.append(seconds)
        if now >= self._ends:
            self._adjust(now)

    def failed(self, now: float) -> None:
        """A call came to nothing, which says nothing of latency; but measuring must not wait for ever."""
        if self.measuring:
            self._failed += 1
            self._maybe_measured(now)

    def _maybe_measured(self, now: float) -> None:
        if len(self._samples) + self._failed >= self._rule.samples:
            self._measured(now)

    def _measure(self, now: float) -> None:
        self.measuring = True
        self._failed = 0
        self._before, self.limit = self.limit, self._rule.least
        self._since = now
        self._samples = []

    def _measured(self, now: float) -> None:
        rule = self._rule
        self.measuring = False
        wait = rule.every
        if self._samples:
            self.ideal = self._typical()
        else:
            wait = min(wait, _AGAIN)
        # Where nothing at all is known nothing can be said against a call.
        self.limit = self._before if self.ideal else rule.most
        self._when = now + wait * (1.0 + rule.jitter * self._dice())
        self._at_least = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._samples = []
        self._peak = 0
        self._ends = now + self._rule.interval

    def _adjust(self, now: float) -> None:
        rule, limit = self._rule, self.limit
        self.latency = self._typical()
        if not self.ideal:
            self._begin(now)
            return
        gradient = _FLATTEST
        if self.latency > 0.0:
            gradient = min(max(self.ideal * (1.0 + rule.buffer) / self.latency, _STEEPEST), _FLATTEST)
        wanted = gradient * limit
        wanted = min(max(int(wanted + sqrt(wanted)), rule.least), rule.most)
        if wanted <= limit or 2 * self._peak >= limit:
            self.limit = wanted
        # At the least although it is used: the ideal may be out of date.
        pressed = self.limit == rule.least and wanted <= limit and rule.least < rule.most
        self._at_least = self._at_least + 1 if pressed else 0
        self._begin(now)
        if self._at_least >= _DOUBTED:
            self._measure(now)

    def _typical(self) -> float:
        found = sorted(self._samples)
        # The nearest rank.
        return found[max(0, ceil(len(found) * self._rule.percentile / 100.0) - 1)]
