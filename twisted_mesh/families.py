"""Every metric of the mesh, in one place: names, labels and what they mean.

The names are the same for every protocol.  Units are seconds and bytes.  Labels are configured names (listener, route,
cluster, filter), a protocol, the class of a status, or a response flag: never what a client sent.

Whoever counts takes a bundle of cells once (`Families.listener`, `Families.upstream`) and adds to them.  What is only
known when somebody looks (connections open, endpoints healthy) is set by a `Registry.on_collect` hook.
"""

from __future__ import annotations

from twisted_mesh.cells import BusCells, ListenerCells, UpstreamCells
from twisted_mesh.families_bus import BusFamilies
from twisted_mesh.families_process import ProcessFamilies
from twisted_mesh.families_traffic import TrafficFamilies
from twisted_mesh.metrics import Registry


class Families(TrafficFamilies, BusFamilies, ProcessFamilies):
    """The mesh's families in one registry: there is one for each registry, which every later `Families(registry)` is.

    All that counts asks for them, for every cluster and every route, and making them takes a tenth of a millisecond.
    """

    registry: Registry

    def __new__(cls, registry: Registry) -> Families:
        known = registry.bundles.get(cls)
        if not isinstance(known, cls):
            known = registry.bundles[cls] = super().__new__(cls)
            known._make(registry)
        return known

    def _make(self, registry: Registry) -> None:
        self.registry = registry
        self._clients(registry)
        self._tls(registry)
        self._redis(registry)
        self._upstream(registry)
        self._clusters(registry)
        self._priorities(registry)
        self._bus(registry)
        self._registered(registry)
        self._filters(registry)
        self._process(registry)

    def listener(self, protocol: str, name: str) -> ListenerCells:
        """Return the cells of one listener."""
        return ListenerCells(self, protocol, name)

    def bus(self, link: str) -> BusCells:
        """Return the cells of one connection to Redis: commands, messages or sentinel."""
        return BusCells(self, link)

    def upstream(self, protocol: str, cluster: str) -> UpstreamCells:
        """Return the cells of one cluster as one protocol uses it."""
        return UpstreamCells(self, protocol, cluster)
