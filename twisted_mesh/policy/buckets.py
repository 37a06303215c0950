"""A rate for each of many keys, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Hashable

from twisted_mesh.policy.gcra import Gcra, Verdict


class Buckets:
    """One number for each key (see `gcra`).

    A key that has not used up anything any more needs no room.  When there are `most` others, the one that came first
    is forgotten, and has its whole burst again: `dropped` counts those.
    """

    __slots__ = ("_arrivals", "_swept", "dropped", "gcra", "most")

    def __init__(self, gcra: Gcra, most: int) -> None:
        self.gcra = gcra
        self.most = most
        self.dropped = 0
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

    def _make_room(self, now: float) -> None:
        # Looking at all of them is worth it when some may have become whole since the last look.
        if now >= self._swept + self.gcra.tolerance:
            self._swept = now
            for each in [key for key, arrival in self._arrivals.items() if arrival <= now]:
                del self._arrivals[each]
        if len(self._arrivals) >= self.most:
            self._arrivals.popitem(last=False)
            self.dropped += 1
