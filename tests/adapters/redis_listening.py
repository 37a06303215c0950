"""A client of a Redis listener whose chain answers as a test says."""

from __future__ import annotations

from typing import Any, Callable, Optional

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_mesh.adapters.redis import RedisAdapter
from twisted_mesh.adapters.redis_connection import RedisConnection
from twisted_mesh.call import Call
from twisted_mesh.codec.resp import pack
from twisted_mesh.model import RedisOptions
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.testing import Env


class Transport(StringTransport):
    """A transport that tells its protocol of its end."""

    protocol: Any = None
    finished = False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """It is."""

    def finish(self) -> None:
        self.finished = True

    def abortConnection(self) -> None:
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionError("aborted")))

    def taken(self) -> bytes:
        """What was written since this was asked last."""
        value: bytes = self.value()
        self.clear()
        return value


class Client:
    """A client; `calls` are those that came to the chain, `pending` what each waits for.

    Without `then` a call waits for `answer`.
    """

    def __init__(self, then: Optional[Callable[[RedisCall], Any]] = None, **options: Any) -> None:
        self.env = Env()
        self.adapter = RedisAdapter("cache", RedisOptions.model_validate(options), self.env)
        self.adapter.chain = self._chain
        self.calls: list[RedisCall] = []
        self.ended: list[Call] = []
        self.pending: list[Pending] = []
        self._then = then
        self._soon: list[Callable[[], Any]] = []
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[RedisConnection, Transport]:
        """One more client of the same listener."""
        made = RedisConnection(self.adapter, len(self.adapter.open) + 1, "192.0.2.1:5", "192.0.2.1", self._soon.append)
        transport = Transport()
        transport.protocol = made
        made.makeConnection(transport)
        return made, transport

    def _chain(self, call: Any) -> Any:
        self.calls.append(call)
        call.on_complete(self.ended.append)
        if self._then is not None:
            return self._then(call)
        pending = call.waiter
        call.waiter = None
        self.pending.append(pending)
        return pending

    def send(self, *commands: Any) -> None:
        """Send commands in one read: each a tuple of words, or bytes as they are."""
        self.connection.dataReceived(b"".join(each if isinstance(each, bytes) else pack(each) for each in commands))
        self.turn()

    def answer(self, number: int, body: bytes) -> None:
        """Give a call its replies."""
        self.pending[number].whole(body)
        self.turn()

    def turn(self) -> None:
        """Let a turn of the loop go by."""
        while self._soon:
            self._soon.pop(0)()

    @property
    def waiting(self) -> bool:
        """Whether anything is to be done in another turn of the loop."""
        return bool(self._soon)

    def turn_once(self) -> None:
        """Let one turn of the loop go by, and not those that are wanted in it."""
        soon, self._soon[:] = [*self._soon], []
        for each in soon:
            each()

    @property
    def heard(self) -> bytes:
        """What was written to the client since this was asked last."""
        return self.transport.taken()

    def leave(self) -> None:
        """The client closes."""
        self.connection.connectionLost(Failure(ConnectionDone()))
