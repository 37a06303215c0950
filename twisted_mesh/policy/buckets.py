"""A rate for each of many keys, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Callable, Hashable

from twisted_mesh.policy.gcra import ROUNDING, Gcra, Verdict


class Buckets:
    """One number for each key (see `gcra`).

    A key that has not used up anything any more needs no room.  When there are `most` others, the one that came first
    is forgotten, and has its whole burst again: then `forgot` is called.
    """

    __slots__ = ("_arrivals", "_forgot", "_swept", "gcra", "most")

    def __init__(self, gcra: Gcra, most: int, forgot: Callable[[], None] = lambda: None) -> None:
        self.gcra = gcra
        self.most = most
        self._forgot = forgot
        self._arrivals: OrderedDict[Hashable, float] = OrderedDict()
        self._swept = float("-inf")

    def __len__(self) -> int:
        return len(self._arrivals)

    def take(self, key: Hashable, now: float, units: int = 1) -> Verdict:
        """Ask for units of a key; what is refused takes nothing."""
        arrivals = self._arrivals
        before = arrivals.get(key)
        arrival, verdict = self.gcra.take(before or 0.0, now, units)
        if verdict.admitted:
            if before is None and len(arrivals) >= self.most:
                self._make_room(now)
            arrivals[key] = arrival
        return verdict

    def look(self, key: Hashable, now: float, units: int = 1) -> Verdict:
        """Return what `take` would, and take nothing."""
        return self.gcra.take(self._arrivals.get(key, 0.0), now, units)[1]

    def admit(self, key: Hashable, now: float, units: int = 1) -> float:
        """Take units of a key; returns how far ahead of now that leaves it, in seconds; less than 0 if they are not
        there, and nothing is taken.  `take` says more and does the same; this is for calls that are admitted."""
        gcra, arrivals = self.gcra, self._arrivals
        arrival = arrivals.get(key, 0.0)
        after = (arrival if arrival > now else now) + units * gcra.interval
        ahead = after - now
        if ahead > gcra.tolerance + ROUNDING:
            return -1.0
        if not arrival and len(arrivals) >= self.most:
            self._make_room(now)
        arrivals[key] = after
        return ahead

    def _make_room(self, now: float) -> None:
        # Looking at all of them is worth it when some may have become whole since the last look.
        if now >= self._swept + self.gcra.tolerance:
            self._swept = now
            for each in [key for key, arrival in self._arrivals.items() if arrival <= now]:
                del self._arrivals[each]
        if len(self._arrivals) >= self.most:
            self._arrivals.popitem(last=False)
            self._forgot()
