"""One client connection to an HTTP adapter whose chain a test writes: no socket, no clock but a fake one."""

from __future__ import annotations

from typing import Any, Callable, Optional, Union

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_mesh.adapters.http import HttpAdapter
from twisted_mesh.adapters.http_connection import HttpConnection
from twisted_mesh.call import Call, Reply
from twisted_mesh.interfaces import Proceed
from twisted_mesh.model import HttpOptions
from twisted_mesh.park import Parked
from twisted_mesh.testing import Env


class ClientTransport(StringTransport):
    """A transport that notes how it is ended, and tells its protocol of it in the clock's next turn, as loops do."""

    def __init__(self, lost: Callable[[Exception], Any]) -> None:
        super().__init__()
        self._lost = lost
        self.ended = ""
        self.full = False
        self.half_closed = False
        self.left = ""

    def loseConnection(self) -> None:
        self._end("closed", ConnectionDone())

    def finish(self) -> None:
        self._end("finished", ConnectionDone())

    def abortConnection(self) -> None:
        self._end("reset", ConnectionAborted())

    def write(self, data: bytes) -> None:
        if not self.ended and not self.half_closed:
            super().write(data)

    def departed(self) -> str:
        return self.left

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self.full:
            producer.pauseProducing()

    def fill(self) -> None:
        """The peer reads no more, and what it was sent has filled all that there is to fill."""
        self.full = True
        self.producer.pauseProducing()

    def empty(self) -> None:
        """The peer has taken everything."""
        self.full = False
        self.producer.resumeProducing()

    @property
    def reading(self) -> bool:
        """Whether the peer is being read."""
        return bool(self.producerState == "producing")

    def _end(self, how: str, reason: Exception) -> None:
        if not self.ended:
            self.ended = how
            self._lost(reason)


class Asked:
    """A call that waits for the test to answer it; `ended` counts its completions, `cancelled` says what stopped it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.ended = 0
        self.cancelled: Optional[BaseException] = None
        self._parked: Parked[Reply] = Parked()
        call.on_complete(self._complete)

    def _complete(self, call: Call) -> None:
        self.ended += 1

    def say(self, reply: Union[Reply, bytes, BaseException]) -> None:
        """Have the chain return this, bytes being the body of a 200, or raise it."""
        if isinstance(reply, BaseException):
            self._parked.fail(reply)
        else:
            self._parked.fire(Reply(200, None, reply) if isinstance(reply, bytes) else reply)

    async def wait(self) -> Reply:
        """What the chain does."""
        try:
            return await self._parked
        except BaseException as error:
            self.cancelled = error
            raise


class Client:
    """A client of a listener whose chain is `chain`; without one, calls wait in `asked` until the test answers them."""

    def __init__(
        self, chain: Optional[Proceed] = None, options: Optional[dict[str, Any]] = None, half_close: bool = False
    ) -> None:
        self.asked: list[Asked] = []
        self.gone = False
        self.env = Env()
        self.adapter = HttpAdapter(
            "edge", HttpOptions.model_validate({**(options or {}), "half_close": half_close}), self.env
        )
        self.adapter.chain = self._chain if chain is None else chain
        self.connection = HttpConnection(self.adapter, "192.0.2.1:1234", "192.0.2.1")
        self.transport = ClientTransport(self._lost)
        self.connection.makeConnection(self.transport)

    def _chain(self, call: Call) -> Any:
        self.asked.append(Asked(call))
        return self.asked[-1].wait()

    def _lost(self, reason: Exception) -> None:
        self.env.clock.callLater(0, self._connection_lost, reason)

    def _connection_lost(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.transport.ended = self.transport.ended or "lost"
            if self.transport.producer is not None:
                self.transport.producer.stopProducing()
            self.connection.connectionLost(Failure(reason))

    def send(self, data: bytes) -> None:
        """Have the client send this; it is lost where the connection has ended."""
        if not self.transport.ended:
            self.connection.dataReceived(data)

    def vanish(self) -> None:
        """Have the client reset its connection."""
        self._connection_lost(ConnectionLost())

    @property
    def last(self) -> Asked:
        """The call that was asked last."""
        return self.asked[-1]

    @property
    def open(self) -> bool:
        """Whether the connection has not been ended by the adapter."""
        return not self.transport.ended

    def take(self) -> bytes:
        """What the client was sent since it last looked."""
        heard = self.heard
        self.transport.clear()
        return heard

    def check_over(self) -> None:
        """Check that once the client has gone nothing is left: no timer, no call; each call ended exactly once."""
        self.vanish()
        self.pass_time(1.0)
        assert self.adapter.connections == self.adapter.active == len(self.adapter.calls) == 0
        assert [each.ended for each in self.asked] == [1] * len(self.asked)
        assert self.env.count("twisted_mesh_downstream_connections_active", "http", "edge") == 0
        assert self.env.clock.getDelayedCalls() == []

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
