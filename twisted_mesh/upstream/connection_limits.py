"""How many connections a cluster may have: for calls of each priority with a limit of its own, and for all others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Optional

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.shedding import NAMES, PRIORITIES
from twisted_mesh.upstream.connections import Connections

if TYPE_CHECKING:
    from twisted_mesh.model.resilience import Limits


class ConnectionLimits:
    """The connections of a cluster by the priorities of the calls that they are made for.

    `own` are those of priorities with a limit of their own, `others` those of all others; None where there is no limit.
    """

    __slots__ = ("others", "own")

    def __init__(self, cluster: str, limits: Optional[Limits], env: Env) -> None:
        self.others: Optional[Connections] = None
        self.own: dict[int, Connections] = {}
        families = Families(env.metrics)
        for name, most in _limited(limits):
            cell = families.priority_connections.labels(cluster, name)
            self.own[PRIORITIES[name]] = Connections(most, cell)
        most = math.inf if limits is None or limits.connections is None else limits.connections
        if self.own or most < math.inf:
            self.others = Connections(most, families.cluster_connections.labels(cluster))

    def __repr__(self) -> str:
        return f"<ConnectionLimits {self.others}, {self.own}>"

    def of(self, priority: Optional[int]) -> Optional[Connections]:
        """Return those that count the connections for calls of this priority; None where they are not limited.

        :param priority: None for what has none: a connection that calls of all priorities share.
        """
        return self.others if priority is None else self.own.get(priority, self.others)

    def label(self, priority: Optional[int]) -> str:
        """Return what tells a pool for calls of this priority from that for all others; "" if they share one."""
        return f", priority {NAMES[priority]}" if priority is not None and priority in self.own else ""

    def adopt(self, old: ConnectionLimits) -> None:
        """Go on counting where those of the cluster before have been counted."""
        if self.others is not None and old.others is not None:
            self.others = old.others
        for priority in self.own:
            self.own[priority] = old.own.get(priority, self.own[priority])

    def configure(self, limits: Optional[Limits]) -> None:
        """Go by these limits from now on: those that they were made for."""
        for name, most in _limited(limits):
            self.own[PRIORITIES[name]].configure(most)
        if self.others is not None:
            assert limits is not None
            self.others.configure(math.inf if limits.connections is None else limits.connections)

    def describe(self) -> Optional[dict[str, object]]:
        """Everything worth showing to an operator; None if nothing is limited."""
        if self.others is None:
            return None
        shown = self.others.describe()
        if self.own:
            shown["priorities"] = {NAMES[each]: connections.describe() for each, connections in self.own.items()}
        return shown


def _limited(limits: Optional[Limits]) -> list[tuple[str, float]]:
    """Return the priorities whose connections have a limit of their own, and that limit."""
    priorities = {} if limits is None else limits.priorities
    return [(name, each.connections) for name, each in priorities.items() if each.connections is not None]
