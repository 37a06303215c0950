"""Endpoints that are new, or back, get their share of the calls little by little (Envoy's slow start)."""

from __future__ import annotations

from typing import NamedTuple


class SlowStart(NamedTuple):
    """How the weight of an endpoint grows.

    :param window: seconds until it has its whole weight.
    :param aggression: 1 is linear; with more it grows faster in the beginning, with less slower.
    :param least: the part of its weight, from 0 to 1, that it begins with.
    """

    window: float
    aggression: float = 1.0
    least: float = 0.1

    def part(self, seconds: float) -> float:
        """Return the part of its weight that an endpoint has so many seconds after it came."""
        if seconds >= self.window:
            return 1.0
        grown: float = (max(0.0, seconds) / self.window) ** (1.0 / self.aggression)
        return max(self.least, grown)
