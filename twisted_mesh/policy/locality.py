"""How calls are shared among groups of endpoints: zones nearer and farther, or zones with weights.

A group that is not whole takes less than it would, and the others take over.  Who has a little more than it needs can
lose some and still take everything: a group counts as whole while `spare` times its usable endpoints are as many as all
of its endpoints (Envoy's overprovisioning: with 1.4, while 72 % are usable).
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import Callable, Mapping, Optional, Sequence, TypeVar

from twisted_mesh.policy.balance import Dice

T = TypeVar("T")

# A group: how many of its endpoints can be used, and how many it has.
Group = tuple[int, int]


def able(group: Group, spare: float) -> float:
    """Return how much a group can take, of what it takes when whole: from 0 to 1."""
    usable, count = group
    return min(1.0, spare * usable / count) if count else 0.0


def spill(groups: Sequence[Group], spare: float) -> list[float]:
    """Return the share of the calls of each group, the first of which takes what it can, the next the rest of it.

    Where all together cannot take everything, each takes more in proportion.
    """
    found = []
    left = 1.0
    for each in groups:
        share = min(left, able(each, spare))
        found.append(share)
        left -= share
    total = sum(found)
    return [each / total for each in found] if total else found


def weighed(groups: Sequence[Group], weights: Sequence[float], spare: float) -> list[float]:
    """Return the share of the calls of each group by weight, less for those that are not whole."""
    found = [weight * able(each, spare) for each, weight in zip(groups, weights, strict=True)]
    total = sum(found)
    return [each / total for each in found] if total else found


def rank(zone: str, own: str, order: Sequence[str]) -> int:
    """Return how far away a zone is: 0 is one's own, then come those of `order`, and last all others alike."""
    if own and zone == own:
        return 0
    return 1 + (order.index(zone) if zone in order else len(order))


def among(picks: Sequence[Callable[[], T]], shares: Sequence[float], dice: Dice) -> Callable[[], T]:
    """Return a function that picks in one of several groups, each as often as its share says."""
    taken = [(pick, share) for pick, share in zip(picks, shares, strict=True) if share > 0.0]
    if len(taken) == 1:
        return taken[0][0]
    chosen = [pick for pick, _ in taken]
    bounds = list(accumulate(share for _, share in taken))
    total, last = bounds[-1], len(taken) - 1

    def pick() -> T:
        return chosen[bisect(bounds, dice() * total, 0, last)]()

    return pick


class Zones:
    """How one cluster shares its calls among zones.

    :param order: zones to turn to when one's own cannot take all, nearest first.
    :param weights: the shares of zones; one's own goes before the others if there are none.
    :param spare: see above, :param least: endpoints that one's own zone must have to go before the others.
    """

    def __init__(self, order: Sequence[str], weights: Mapping[str, float], spare: float, least: int) -> None:
        self.order = order
        self.weights = weights
        self.spare = spare
        self.least = least

    def group_of(self, zone: str, own: str) -> tuple[int, str]:
        """Return what tells the group of a zone from others, in the order in which they are preferred."""
        if self.weights:
            return 0, zone
        return rank(zone, own, self.order), ""

    def name(self, group: tuple[int, str], own: str) -> str:
        """Return a name of a group, for people."""
        rank, zone = group
        if self.weights:
            return zone
        return own if rank == 0 else self.order[rank - 1] if rank <= len(self.order) else "others"

    def shares(self, groups: Mapping[tuple[int, str], Group]) -> Optional[list[float]]:
        """Return the shares of the groups; None if calls are to go everywhere alike.

        :param groups: in the order of `group_of`.
        """
        if self.weights:
            return weighed(list(groups.values()), [self.weights.get(zone, 1.0) for _, zone in groups], self.spare)
        near = groups.get((0, ""))
        preferred = bool(self.order) if near is None else near[1] >= self.least
        return spill(list(groups.values()), self.spare) if preferred else None

    def enough(self, groups: Mapping[tuple[int, str], Group]) -> bool:
        """Whether all groups together can still take all calls."""
        if self.weights:
            return all(able(each, self.spare) >= 1.0 for each in groups.values())
        return sum(able(each, self.spare) for each in groups.values()) >= 1.0
