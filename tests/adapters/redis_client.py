"""One client of a Redis adapter whose upstream the test plays: no socket, no clock but a fake one."""

from __future__ import annotations

from typing import Any, Optional

from tests.adapters.http_client import ClientTransport
from twisted_mesh.adapters.redis import RedisAdapter
from twisted_mesh.model import RedisOptions
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.testing import Env


class Turns:
    """A loop that does what is wanted soon when the test says so."""

    def __init__(self) -> None:
        self._soon: list[tuple[Any, tuple[Any, ...]]] = []

    def call_soon(self, call: Any, *arguments: Any) -> None:
        self._soon.append((call, arguments))

    def turn(self) -> None:
        while self._soon:
            soon, self._soon = self._soon, []
            for call, arguments in soon:
                call(*arguments)


class Transport(ClientTransport):
    """A client's transport."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Whatever is set is fine."""


class Client:
    """A client.  `calls` are those that reached the upstream and have no reply yet.

    :param adapter: of another client of the same listener; a new one if not given.
    :param certificate: who it is by its certificate, if it speaks TLS and has one.
    """

    peer = "10.0.0.1:50000"
    peer_host = "10.0.0.1"
    port = 6380

    def __init__(
        self, adapter: Optional[RedisAdapter] = None, *, certificate: Optional[str] = None, **options: Any
    ) -> None:
        self.identity = certificate
        self.env = Env()
        self.loop = Turns()
        self.calls: list[tuple[RedisCall, Pending]] = []
        self.seen: list[str] = []
        self.adapter = adapter or RedisAdapter("cache", RedisOptions.model_validate(options), self.env)
        self.adapter.chain = self.upstream
        self.protocol: Any = None
        self.transport = Transport(self._lost)
        arrive: Any = self.adapter.accepted if certificate is None else self.adapter.secured
        arrive(self)

    def adopt(self, protocol: Any) -> None:
        """What an accepted connection does."""
        self.protocol = protocol
        self.transport.protocol = protocol  # type: ignore[attr-defined]
        protocol.makeConnection(self.transport)

    def _lost(self, reason: Exception) -> None:
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(reason))

    def upstream(self, call: Any) -> Pending:
        """The innermost layer, and the only one."""
        pending = Pending(call)
        self.calls.append((call, pending))
        if call.session is not None and call.session.multi:
            # As the real one does, which lends it a connection.
            call.session.main = call.session.main or object()
        own = "own " if call.session is not None else ""
        self.seen.append(own + " ".join(b" ".join(call.words(at)).decode() for at in range(call.count)))
        return pending

    def send(self, *commands: str) -> None:
        """Send inline commands, all at once."""
        self.protocol.dataReceived(b"".join(each.encode() + b"\r\n" for each in commands))
        self.loop.turn()

    def reply(self, *texts: bytes) -> None:
        """Answer the oldest calls."""
        for text in texts:
            _, pending = self.calls.pop(0)
            pending.fire(RedisReply(text, errors=int(text.startswith(b"-"))))
        self.loop.turn()

    def heard(self) -> bytes:
        """What the client was sent since the last look."""
        self.loop.turn()
        data: bytes = self.transport.value()
        self.transport.clear()
        return data
