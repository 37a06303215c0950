"""Gauges that nobody keeps: read off the world when somebody asks for the metrics."""

from __future__ import annotations

from typing import Protocol, Sized, runtime_checkable

from twisted_mesh.control.world import World
from twisted_mesh.families import Families


@runtime_checkable
class CountedPool(Protocol):
    """What a pool of any protocol shows of itself: connections open, those of them idle, calls that wait for one."""

    open: int
    idle: Sized
    waiting: Sized


class Gauges:
    """Sets what is in flight, open and waiting now; for `Registry.on_collect`."""

    def __init__(self, world: World, families: Families) -> None:
        self._world = world
        self._families = families
        # Clusters by protocol that had pools when we looked last: they may have none now.
        self._pooled: set[tuple[str, str]] = set()

    def set(self) -> None:
        """Bring the gauges up to date."""
        self._set_listeners()
        self._set_pools()

    def _set_listeners(self) -> None:
        families = self._families
        calls: dict[tuple[str, str], int] = {}
        connections: dict[tuple[str, str], int] = {}
        # A listener that left and came back is there twice for a while.
        for each in self._world.everyone:
            key = (each.config.protocol, each.name)
            calls[key] = calls.get(key, 0) + each.adapter.active
            connections[key] = connections.get(key, 0) + each.adapter.connections
        for key, count in calls.items():
            families.calls_active.labels(*key).value = count
            families.connections_active.labels(*key).value = connections[key]

    def _set_pools(self) -> None:
        found: dict[tuple[str, str], list[int]] = {key: [0, 0, 0] for key in self._pooled}
        for cluster in self._world.clusters.values():
            for endpoint in cluster.endpoints:
                for protocol, pool in endpoint.pools.items():
                    if isinstance(pool, CountedPool):
                        # Those of a priority that has its own count with the others.
                        counts = found.setdefault((protocol.partition(",")[0], cluster.name), [0, 0, 0])
                        counts[0] += pool.open - len(pool.idle)
                        counts[1] += len(pool.idle)
                        counts[2] += len(pool.waiting)
        for key, (active, idle, waiting) in found.items():
            self._families.upstream_connections.labels(*key, "active").value = active
            self._families.upstream_connections.labels(*key, "idle").value = idle
            self._families.upstream_pending.labels(*key).value = waiting
        self._pooled = {key for key in found if key[1] in self._world.clusters}
