"""How many retries of all routes a cluster has under way at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.shedding import NAMES, PRIORITIES

if TYPE_CHECKING:
    from twisted_mesh.model.resilience import Limits


class Places:
    """Places for retries, each from when it is decided on, so its wait included, until its reply head.

    :param limit: how many there are.
    """

    __slots__ = ("_active", "limit", "taken")

    def __init__(self, cluster: str, limit: int, env: Env) -> None:
        self.limit = limit
        self.taken = 0
        self._active = Families(env.metrics).cluster_retries.labels(cluster)

    def __repr__(self) -> str:
        return f"<Places {self.taken} of {self.limit}>"

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {"active": self.taken, "limit": self.limit}

    def take(self) -> bool:
        """Take a place; returns whether there was one."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        self._active.value += 1
        return True

    def give(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self._active.value -= 1


class Retries:
    """The places of one cluster: for calls of each priority that has limits of its own, and for all the others."""

    __slots__ = ("_others", "_own")

    def __init__(self, cluster: str, limits: Optional[Limits], env: Env) -> None:
        self._others: Optional[Places] = None
        self._own: dict[int, Optional[Places]] = {}
        if limits is None:
            return
        if limits.retries is not None:
            self._others = Places(cluster, limits.retries, env)
        for name, each in limits.priorities.items():
            self._own[PRIORITIES[name]] = None if each.retries is None else Places(cluster, each.retries, env)

    def __repr__(self) -> str:
        return f"<Retries {self._others or 'any number'}>"

    def places(self, priority: int) -> Optional[Places]:
        """Return the places for calls of this priority; None where there may be any number."""
        return self._own.get(priority, self._others)

    def describe(self) -> Optional[dict[str, object]]:
        """Everything worth showing to an operator; None if nothing is limited."""
        own = {NAMES[each]: places.describe() for each, places in self._own.items() if places is not None}
        if self._others is None and not own:
            return None
        shown: dict[str, object] = {"active": None, "limit": None}
        if self._others is not None:
            shown = self._others.describe()
        return {**shown, "priorities": own} if own else shown
