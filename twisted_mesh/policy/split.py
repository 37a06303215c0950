"""Sharing calls among several targets by weight."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import Callable, Sequence, TypeVar

T = TypeVar("T")


def split(targets: Sequence[tuple[T, int]], dice: Callable[[], float]) -> Callable[[], T]:
    """Return a function that picks a target for one call, by the dice, in proportion to the weights.

    A target of weight 0 is never picked.

    :param targets: (target, weight) pairs; the weights are whole numbers of 0 or more, and one is above 0.
    :param dice: gives numbers in [0, 1).
    :raises ValueError: no weight is above 0.
    """
    names, bounds = _shares(targets)
    if len(names) == 1:
        only = names[0]
        return lambda: only
    total = bounds[-1]
    return lambda: names[bisect(bounds, dice() * total)]


def split_by_place(targets: Sequence[tuple[T, int]]) -> Callable[[float], T]:
    """Return a function that picks the target for a place in [0, 1), always the same for the same place.

    Where one of two weights grows, only the places move that it gains.

    :param targets: as for `split`.
    :raises ValueError: no weight is above 0.
    """
    names, bounds = _shares(targets)
    total = bounds[-1]
    return lambda place: names[bisect(bounds, place * total)]


def _shares(targets: Sequence[tuple[T, int]]) -> tuple[list[T], list[int]]:
    """Return the targets that calls go to, and where the share of each ends."""
    live = [(target, weight) for target, weight in targets if weight > 0]
    if not live:
        raise ValueError("no target has a weight above 0")
    return [target for target, _ in live], list(accumulate(weight for _, weight in live))
