"""One client connection to an HTTP adapter whose chain a test writes: no socket, no clock but a fake one."""

from __future__ import annotations

from typing import Any, Callable, Optional

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_mesh.adapters.http import HttpAdapter
from twisted_mesh.adapters.http_connection import HttpConnection
from twisted_mesh.interfaces import Proceed
from twisted_mesh.model import HttpOptions
from twisted_mesh.testing import Env


class ClientTransport(StringTransport):
    """A transport that notes how it is ended, and tells its protocol of it in the clock's next turn, as loops do."""

    def __init__(self, lost: Callable[[Exception], Any]) -> None:
        super().__init__()
        self._lost = lost
        self.ended = ""

    def loseConnection(self) -> None:
        self._end("closed", ConnectionDone())

    def finish(self) -> None:
        self._end("finished", ConnectionDone())

    def abortConnection(self) -> None:
        self._end("reset", ConnectionAborted())

    def write(self, data: bytes) -> None:
        if not self.ended:
            super().write(data)

    def _end(self, how: str, reason: Exception) -> None:
        if not self.ended:
            self.ended = how
            self._lost(reason)


class Client:
    """A client of a listener whose chain is `chain`; the calls that ended are in `ended`."""

    def __init__(self, chain: Proceed, options: Optional[dict[str, Any]] = None, half_close: bool = False) -> None:
        self.env = Env()
        self.adapter = HttpAdapter(
            "edge", HttpOptions.model_validate({**(options or {}), "half_close": half_close}), self.env
        )
        self.adapter.chain = chain
        self.connection = HttpConnection(self.adapter, "192.0.2.1:1234", "192.0.2.1")
        self.transport = ClientTransport(self._lost)
        self.connection.makeConnection(self.transport)

    def _lost(self, reason: Exception) -> None:
        self.env.clock.callLater(0, self.connection.connectionLost, Failure(reason))

    def send(self, data: bytes) -> None:
        """Have the client send this."""
        self.connection.dataReceived(data)

    def get(self, path: str = "/") -> None:
        """Have the client ask for `path`."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def half_close(self) -> None:
        """Have the client send no more."""
        self.connection.readConnectionLost()

    def pass_time(self, seconds: float = 0.0) -> None:
        """Let time pass, in steps as short as a look at deadlines."""
        steps = max(1, round(seconds / 0.025))
        self.env.clock.pump([seconds / steps] * steps)

    @property
    def heard(self) -> bytes:
        """What the client was sent so far."""
        return self.transport.value()
