"""How much of everything the process has: tasks, chains that wait, timers, connections, descriptors, memory.

Counted when somebody asks for the metrics, and kept by nobody in between.  What grows here with time, while the load
does not, is a leak, and the labels say whose.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.calls import CallTable
from twisted_mesh.chain import asides
from twisted_mesh.families import Families
from twisted_mesh.metrics import Cell, Family
from twisted_mesh.net import timers
from twisted_mesh.server.gauges import CountedPool
from twisted_mesh.strain import resident
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh.control.world import World

_DESCRIPTORS = ("/proc/self/fd", "/dev/fd")
_OURS = "twisted_mesh."


def descriptors() -> int:
    """Return how many file descriptors are open; 0 where the platform does not tell."""
    for path in _DESCRIPTORS:
        try:
            # Linux counts them since 6.2; listing 10,000 would hold up the loop for milliseconds.
            count = os.stat(path).st_size
            # The one that lists is among those that are listed.
            return count if path == _DESCRIPTORS[0] and count else len(os.listdir(path)) - 1
        except OSError:
            continue
    return 0


def whose(timer: Any) -> str:
    """Return the module that a timer of the reactor will call, as the label says it: ``upstream.health``."""
    call = _bare(getattr(timer, "func", None))
    owner = getattr(call, "__self__", None)
    if isinstance(owner, Sweep):
        call = _bare(owner.first or call)
    module = getattr(call, "__module__", None) or type(call).__module__
    return str(module).removeprefix(_OURS)


def _bare(call: Any) -> Any:
    while isinstance(call, partial):
        call = call.func
    return call


class Census:
    """Counts all that; for `Registry.on_collect`.

    :param clock: the reactor, whose timers are counted.
    """

    def __init__(self, world: World, families: Families, clock: IReactorTime, loop: asyncio.AbstractEventLoop) -> None:
        self._world = world
        self._families = families
        self._clock = clock
        self._loop = loop

    def set(self) -> None:
        """Bring the gauges up to date."""
        families = self._families
        families.process_tasks.labels().value = len(asyncio.all_tasks(self._loop))
        families.process_descriptors.labels().value = descriptors()
        families.process_memory.labels().value = resident()
        _set(families.process_timers, self._timers())
        _set(families.process_chains, self._chains())
        _set(families.process_connections, self._connections())

    def _timers(self) -> Counter[str]:
        found = Counter(map(whose, self._clock.getDelayedCalls()))
        found["net"] += timers.pending(self._loop.time())
        return found

    def _chains(self) -> Counter[str]:
        found = Counter(asides)
        # An adapter of somebody else's may have no table of them.
        tables = [getattr(each.adapter, "calls", None) for each in self._world.everyone]
        found["call"] = sum(len(each) for each in tables if isinstance(each, CallTable))
        return found

    def _connections(self) -> Counter[str]:
        found = Counter(downstream=self._world.connections, upstream=0)
        for cluster in self._world.clusters.values():
            for endpoint in cluster.endpoints:
                found["upstream"] += sum(each.open for each in endpoint.pools.values() if isinstance(each, CountedPool))
        for (protocol, _, state), cell in self._families.upstream_connections.series():
            # TCP has no pools: a connection to an endpoint is counted while its call goes on.
            if protocol == "tcp" and state == "active":
                found["upstream"] += int(cell.value)
        return found


def _set(family: Family[Cell], counts: Counter[str]) -> None:
    """Have a family say this; what it said of others before is 0 now."""
    for (name,), cell in family.series():
        cell.value = counts.pop(name, 0)
    for name, count in counts.items():
        family.labels(name).value = count
