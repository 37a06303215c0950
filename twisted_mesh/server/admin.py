"""The admin's address: a listener of our own HTTP adapter, with pages instead of a chain.

So it knows all that the adapter knows of hostile requests, needs no import that a sidecar has not made already
(twisted.web takes a quarter of a second), and is not among the listeners of the world: it goes on while they drain.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Optional

from twisted.application.service import Service
from twisted.logger import Logger

from twisted_mesh.adapters.http import HttpAdapter
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.net.accept import Accepted, Port
from twisted_mesh.server.census import Census
from twisted_mesh.server.gauges import Gauges
from twisted_mesh.server.levels import Levels
from twisted_mesh.server.pages import Pages, Shown

if TYPE_CHECKING:
    from twisted_mesh.control.env import MeshEnv
    from twisted_mesh.model import Address

# Whoever asks more than this at once is no operator.
MOST_CONNECTIONS = 256
# A unix socket of the admin is for its owner and group.
MODE = 0o660

log = Logger("twisted_mesh.admin")


def _options() -> Any:
    from twisted_mesh.model import HttpOptions

    return HttpOptions.model_validate(
        {
            "limits": {"header_bytes": "16KiB", "body": "64KiB"},
            "timeouts": {"header": "10s", "idle": "60s", "stream_idle": "30s"},
        }
    )


class Admin(Service):
    """Serves the pages of one process at one address.

    :param env: as it is for every part; the admin's own connections are not counted in its metrics.
    """

    def __init__(self, shown: Shown, env: MeshEnv, loop: asyncio.AbstractEventLoop) -> None:
        self.setName("admin")
        own = env.named("admin")
        own.metrics = Registry()
        self._metrics = own.metrics
        self._loop = loop
        self._levels = Levels()
        self._adapter = HttpAdapter("admin", _options(), own)
        self._adapter.chain = Pages(shown, self._levels, env.clock, loop)
        self._port: Optional[Port] = None
        shown.registry.on_collect(Gauges(shown.world, Families(shown.registry)).set)
        shown.registry.on_collect(Census(shown.world, Families(shown.registry), env.clock, loop).set)

    def __repr__(self) -> str:
        return f"<Admin at {self.address or 'no address'}>"

    @property
    def address(self) -> str:
        """Where it answers, with the real port; "" if nowhere."""
        return "" if self._port is None else self._port.address

    def serve_at(self, address: Optional[Address]) -> None:
        """Answer at this address from now on, and no longer at the one before; None: nowhere.

        :raises OSError: it cannot be listened on; the one before stays.
        """
        before = self._port
        if before is not None and before.bind == address:
            return
        port = None
        if address is not None:
            port = Port(
                self._loop,
                address,
                self._accepted,
                name="admin",
                metrics=self._metrics,
                protocol="http",
                mode=MODE if address.path else None,
                reserve=0,
            )
            port.start()
            log.info("the admin answers at {address}", address=port.address)
        self._port = port
        if before is not None:
            before.stop_accepting()

    def startService(self) -> None:
        """Begin to go by the log levels."""
        super().startService()
        self._levels.install()

    def stopService(self) -> None:
        """Stop answering."""
        super().stopService()
        self.serve_at(None)
        self._adapter.close_all()
        self._levels.uninstall()

    def _accepted(self, accepted: Accepted) -> None:
        if self._adapter.connections >= MOST_CONNECTIONS:
            accepted.sock.close()
            return
        self._adapter.accepted(accepted)
