"""What calling an endpoint costs just now: peak EWMA (Finagle, Linkerd).

The cost is a moving average of latency, times the calls in flight and this one.  The average is peak-sensitive: a slow
answer counts at once and is forgotten with time, so an endpoint that begins to be slow is left before it has collected
many calls, and one that hangs before it has answered any of them.
"""

from __future__ import annotations

from math import exp
from typing import Callable, Optional, Sequence

from twisted_mesh.policy.balance import C, Dice, Weights

# Seconds after which an observation counts for 1/e.
DECAY = 10.0
# Seconds that an endpoint is taken to need before it has answered: high enough that it gets no flood at once, low
# enough that it is tried.
UNKNOWN = 0.03
# Seconds that a refusal for too many calls is scored as, unless it says itself how long to stay away, and the most that
# it may say.  Refusing is fast; without this the endpoint that refuses would look like the best.
REFUSED = 5.0
REFUSED_MOST = 300.0
# A pick costs far more than usual with more than so many times its moving average, in which each pick counts so much.
FAR = 3.0
_OF_LATE = 0.02


class PeakEwma:
    """The latency of one endpoint as its callers feel it.  Times are monotonic seconds."""

    __slots__ = ("_at", "_decay", "_value")

    def __init__(self, now: float, decay: float = DECAY, unknown: float = UNKNOWN) -> None:
        if decay <= 0:
            raise ValueError("the decay is more than 0 s")
        self._decay = decay
        self._value = unknown
        self._at = now

    def observe(self, seconds: float, now: float) -> None:
        """An answer took so long."""
        if seconds >= self._value:
            self._value = seconds
        else:
            weight = exp(-max(0.0, now - self._at) / self._decay)
            self._value = self._value * weight + seconds * (1.0 - weight)
        self._at = now

    def refused(self, retry_after: float, now: float) -> None:
        """It answered that it has had enough.

        :param retry_after: seconds for which it asked to be left alone; 0 if it said nothing.
        """
        self.observe(min(max(retry_after, REFUSED), REFUSED_MOST), now)

    def latency(self, now: float) -> float:
        """Return the average, with silence counted as good news: seconds."""
        return self._value * exp(-max(0.0, now - self._at) / self._decay)

    def cost(self, active: int, weight: float, now: float) -> float:
        """Return what one more call would cost, for comparing.

        :param active: calls in flight now.
        """
        silent = now - self._at
        value = self._value
        if silent > 0.0:
            value *= exp(-silent / self._decay)
        return (value + 1e-6) * (active + 1) / weight


def peak_ewma(
    candidates: Sequence[C],
    latencies: Sequence[PeakEwma],
    dice: Dice,
    now: Callable[[], float],
    weights: Optional[Weights] = None,
) -> Callable[[], C]:
    """Return a function that picks the one that costs less of two that are drawn evenly.

    Where both cost far more than what is picked usually, a third is drawn: of ten endpoints with two bad ones one pair
    in 45 is those two, which would be more than one call in a hundred.

    :param latencies: one for each candidate, :param weights: the same, where they are not those of the candidates.
    """
    count = len(candidates)
    if count == 1:
        only = candidates[0]
        return lambda: only
    others = count - 1
    asked = [each.weight for each in candidates] if weights is None else weights
    usual = 0.0

    def pick() -> C:
        nonlocal usual
        first = int(dice() * count)
        second = int(dice() * others)
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        at = now()
        cost = latencies[first].cost(one.active, asked[first], at)
        more = latencies[second].cost(other.active, asked[second], at)
        if more < cost:
            one, cost = other, more
        if cost > FAR * usual:
            third = int(dice() * count)
            other = candidates[third]
            less = latencies[third].cost(other.active, asked[third], at)
            if less < cost:
                one, cost = other, less
        usual += (cost - usual) * _OF_LATE
        return one

    return pick
