"""The first half of an end under `meshctl run`: no more calls for the application, while it can still make its own.

What comes in for the application is drained as at the end of the process; the other listeners go on, as the application
may need them to finish what it does.
"""

from __future__ import annotations

from typing import Callable, Collection, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.control.listener import LiveListener
from twisted_mesh.control.world import World
from twisted_mesh.server.drain import Drain


class Inbound:
    """The listeners that lead to the application, as something to drain."""

    def __init__(self, listeners: Sequence[LiveListener]) -> None:
        self._listeners = listeners

    def announce(self) -> None:
        """Tell clients, where the protocol can, that their connections will close."""
        for each in self._listeners:
            each.adapter.announce()

    def stop_accepting(self) -> None:
        """Accept what waits, then close the listening sockets."""
        for each in self._listeners:
            each.stop_accepting()

    def drain(self) -> None:
        """Answer what is in flight, close what is idle."""
        for each in self._listeners:
            each.adapter.drain()

    def close_all(self) -> None:
        """End every connection now."""
        for each in self._listeners:
            each.adapter.close_all()

    @property
    def connections(self) -> int:
        """How many are open."""
        return sum(each.adapter.connections for each in self._listeners)

    @property
    def active(self) -> int:
        """How many calls are in flight."""
        return sum(each.adapter.active for each in self._listeners)


class Leaving:
    """Leaves once; `begun` says whether it has."""

    def __init__(self, world: World, clock: IReactorTime) -> None:
        self.begun = False
        self._world = world
        self._clock = clock
        self._timer: Optional[IDelayedCall] = None

    def begin(self, ports: Collection[int], left: Callable[[], None], *, limit: float, wait: float) -> None:
        """Wait for the news to spread, then drain what listens on one of `ports`; `left` is called once, at the end."""
        self.begun = True
        self._timer = self._clock.callLater(min(wait, limit), self._drain, ports, left, max(0.0, limit - wait))

    def _drain(self, ports: Collection[int], left: Callable[[], None], limit: float) -> None:
        self._timer = None
        inbound = [each for each in self._world.listeners.values() if _port_numbers(each) & set(ports)]
        if inbound:
            Drain(Inbound(inbound), self._clock, lambda status: left()).begin("leaving", limit=limit, wait=0.0)
        else:
            left()

    def stop(self) -> None:
        """The process ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _port_numbers(listener: LiveListener) -> set[int]:
    last = (each.rpartition(":")[2] for each in listener.addresses)
    return {int(each) for each in last if each.isdigit()}
