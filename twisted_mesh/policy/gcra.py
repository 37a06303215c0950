"""The generic cell rate algorithm (ITU-T I.371; the form of redis-cell): one number for each key is all it keeps.

The number is the theoretical arrival time: when the bucket will be full again.  A call moves it on by the time that one
unit needs, and conforms if that leaves it no further ahead of now than the burst allows.
"""

from __future__ import annotations

from typing import NamedTuple

# Seconds: rounding of sums of intervals must not cost a unit.
ROUNDING = 1e-9


class Verdict(NamedTuple):
    """`admitted`; `remaining`: units that could be taken at once; `reset_after`: seconds until all are there again;
    `retry_after`: seconds until what was asked for can be had, 0.0 if it was had, -1.0 if it never can be."""

    admitted: bool
    remaining: int
    reset_after: float
    retry_after: float


class Grant(NamedTuple):
    """What was given of what was asked for: `granted` units; `remaining`: how many there are still; `reset_after`:
    seconds until all are there again; `retry_after`: seconds until the least that was asked for is there, 0.0 if it
    was given."""

    granted: int
    remaining: int
    reset_after: float
    retry_after: float


class Gcra:
    """A rate with a burst.

    :param count: units in :param per: seconds, :param burst: units that may be taken at once.
    :raises ValueError: one of them is not more than 0.
    """

    __slots__ = ("burst", "interval", "tolerance")

    def __init__(self, count: float, per: float, burst: int) -> None:
        if count <= 0 or per <= 0 or burst < 1:
            raise ValueError("a rate is more than 0, and so is its burst")
        self.interval = per / count
        self.burst = burst
        self.tolerance = self.interval * burst

    def take(self, arrival: float, now: float, units: int = 1) -> tuple[float, Verdict]:
        """Ask for units; returns the new theoretical arrival time to keep, and the verdict.

        :param arrival: what was kept, 0.0 for a key that is new.
        :param units: 0 only looks.
        """
        at = max(arrival, now)
        after = at + units * self.interval
        ahead = after - now
        if ahead > self.tolerance + ROUNDING:
            wait = ahead - self.tolerance
            retry = -1.0 if units > self.burst else wait
            return arrival, Verdict(False, self._left(at - now), max(0.0, at - now), retry)
        return after, Verdict(True, self._left(ahead), ahead, 0.0)

    def grant(self, arrival: float, now: float, want: int, least: int = 1, debt: int = 0) -> tuple[float, Grant]:
        """Take up to `want` units at once, or none where there are fewer than `least`; returns as `take` does.

        :param debt: units that were used without asking and are taken first, whether they are there or not; less than
            0: units that come back.
        """
        at = min(max(max(arrival, now) + debt * self.interval, now), now + self.tolerance)
        room = self._left(at - now)
        granted = min(want, room) if room >= least else 0
        at += granted * self.interval
        retry = 0.0 if granted or not want else at + least * self.interval - self.tolerance - now
        return at, Grant(granted, room - granted, at - now, max(0.0, retry))

    def _left(self, ahead: float) -> int:
        return int((self.tolerance - ahead) / self.interval + 1e-6)
