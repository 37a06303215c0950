"""Whether one call belongs to a given percentage of all."""

from __future__ import annotations

from typing import Callable


def share(percent: float, dice: Callable[[], float]) -> Callable[[], bool]:
    """Return a function that says yes for `percent` of the times it is asked; 0 is never and 100 always."""
    if percent >= 100.0:
        return lambda: True
    if percent <= 0.0:
        return lambda: False
    bound = percent / 100.0
    return lambda: dice() < bound
