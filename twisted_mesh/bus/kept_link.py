"""A connection to the mesh's Redis that is kept: found, opened, and found again when it is lost."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Any, Callable, Optional, TypedDict

from twisted_mesh.bus.dial import Dialer
from twisted_mesh.bus.find import finder
from twisted_mesh.bus.upkeep import Upkeep
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry

if TYPE_CHECKING:
    from typing_extensions import NotRequired

    from twisted_mesh.bus.dial import Deliver, Link
    from twisted_mesh.bus.errors import BusError
    from twisted_mesh.model.redis import Redis as Settings


class Around(TypedDict):
    """What a connection is made with: `now` is monotonic seconds; `mesh`, in a Redis Cluster, says whose slot's node is
    used."""

    reactor: Any
    random: _random.Random
    metrics: Registry
    now: Callable[[], float]
    mesh: NotRequired[str]


class KeptLink:
    """The base of the connections for commands and for messages.

    :param name: what the log calls it.
    :param link: what the metrics call it.
    :param deliver: takes channel and payload of each message.
    :ivar on_up: called each time there is a connection again.
    :ivar on_down: called each time it is lost.
    """

    def __init__(
        self, settings: Settings, name: str, link: str, around: Around, deliver: Optional[Deliver] = None
    ) -> None:
        self.settings = settings
        self.on_up: list[Callable[[], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self._reactor = around["reactor"]
        self._now = around["now"]
        self._cells = Families(around["metrics"]).bus(link)
        common: Any = {"reactor": self._reactor, "random": around["random"]}
        dialer = Dialer(settings, self._reactor, deliver)
        mesh = around.get("mesh", "default")
        self._finder = finder(dialer, mesh, metrics=around["metrics"], now=self._now, **common)
        self._upkeep = Upkeep(
            name,
            self._finder.find,
            timeout=settings.timeout,
            opened=self._opened,
            closed=self._closed,
            failed=self._cells.failed,
            alive=self._alive,
            **common,
        )
        self._finder.on_moved = self._upkeep.look_again

    def start(self) -> None:
        """Begin to connect."""
        self._finder.start()
        self._upkeep.start()

    @property
    def server(self) -> str:
        """The address of the server in use, "" while there is none."""
        return self._upkeep.link.server if self._upkeep.link is not None else ""

    # --- what becomes of the connection

    def _opened(self, link: Link) -> None:
        self._cells.connects.value += 1

    def _closed(self, why: BusError) -> None:
        self._cells.connected.value = 0

    def _alive(self) -> None:
        """The server has answered a PING."""
