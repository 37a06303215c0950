"""Several commands of one call that have the same key of a shared limit."""

from __future__ import annotations

from typing import Callable, Optional

from twisted_mesh.policy.gcra import Verdict
from twisted_mesh.policy.rate_lease import RateLease

Decide = Callable[[RateLease, int], Verdict]


class Several:
    """Commands at some places of a call; those that are admitted are marked in `admitted`, the first ones first.

    :ivar left: the places that are not decided.
    """

    __slots__ = ("_admitted", "_lease", "left")

    def __init__(self, lease: RateLease, places: list[int], admitted: list[bool]) -> None:
        self.left = places
        self._lease = lease
        self._admitted = admitted

    def told(self, known: Optional[bool], decide: Decide, cost: int) -> None:
        """There is an answer: the first of those that are left is admitted or not, None if nobody knows."""
        if known:
            self._one()
            self.spend(cost)
        elif known is None:
            self.alone(decide, cost)

    def _one(self) -> None:
        self._admitted[self.left.pop(0)] = True

    def spend(self, cost: int) -> None:
        """Admit as many as there are units for."""
        lease = self._lease
        while self.left and lease.tokens >= cost:
            lease.tokens -= cost
            self._one()

    def alone(self, decide: Decide, cost: int) -> None:
        """Admit as many as `decide` does."""
        while self.left and decide(self._lease, cost).admitted:
            self._one()
