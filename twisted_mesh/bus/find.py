"""Which way the server is found."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Any, Callable

from twisted.internet.defer import Deferred, succeed

from twisted_mesh.bus.direct import Direct
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.metrics import Registry

if TYPE_CHECKING:
    from twisted_mesh.bus.dial import Dialer, Link


class Finder:
    """Finds the server among the addresses of the settings; the base of the other ways.

    :ivar on_moved: called with a reason when the server has become another one.
    """

    def __init__(self, dialer: Dialer, mesh: str) -> None:
        self.on_moved: Callable[[str], None] = lambda why: None
        self._direct = Direct(dialer, Keys(mesh).prefix)

    def start(self) -> None:
        """Begin to look whether the server becomes another one."""

    def stop(self) -> Deferred[None]:
        """End."""
        return succeed(None)

    async def find(self) -> Link:
        """Return a connection to the server.

        :raises BusError: there is none.
        """
        return await self._direct.find()

    def refused(self, error: BusError) -> None:
        """A server said that it is the wrong one."""
        self._direct.moved(error.detail, error.server)


def finder(
    dialer: Dialer,
    mesh: str,
    *,
    reactor: Any,
    random: _random.Random,
    metrics: Registry,
    now: Callable[[], float],
) -> Finder:
    """Return the way for the dialer's settings.

    :raises ValueError: the settings say ``embedded``, and nobody has started that server.
    """
    scheme = dialer.settings.url.scheme
    if scheme == "embedded":
        raise ValueError("an embedded Redis has to be started first")
    if scheme == "sentinel":
        from twisted_mesh.bus.sentinel import SentinelFinder

        return SentinelFinder(dialer, mesh, reactor=reactor, random=random, metrics=metrics, now=now)
    return Finder(dialer, mesh)
