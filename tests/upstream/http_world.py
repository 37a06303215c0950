"""One HTTP/1.1 connection to an endpoint that is not there, and calls that are sent over it."""

from __future__ import annotations

from typing import Any, Optional, Union

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.upstream.fakes import Transport, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.codec.response import ResponseReader
from twisted_mesh.errors import MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.http1 import HttpUpstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Endpoint:
    address = "10.0.0.1:80"


class Pool:
    """Notes what becomes of the connection."""

    def __init__(self) -> None:
        self.endpoint = Endpoint()
        self.released = self.gone = self.odd = 0

    def release(self, connection: Any) -> None:
        self.released += 1

    def lost(self, connection: Any) -> None:
        self.gone += 1

    def surplus(self, connection: Any) -> None:
        self.odd += 1


class World:
    """One connection, and the outcome of the call that was sent last."""

    def __init__(self) -> None:
        self.pool = Pool()
        self.connection = HttpUpstream(self.pool, ResponseReader())  # type: ignore[arg-type]
        self.transport = Transport()
        self.transport.protocol = self.connection  # type: ignore[assignment]
        self.connection.makeConnection(self.transport)
        self.outcome: Optional[Union[Reply, BaseException]] = None

    def send(self, call: Call) -> Call:
        self.outcome = None
        self.transport.clear()

        async def exchange(call: Call) -> Reply:
            return await self.connection.send(call)

        Driver(call, self._done).start(exchange)
        return call

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.outcome = error or reply

    def says(self, data: bytes) -> None:
        self.connection.dataReceived(data)

    def ends(self, clean: bool = True) -> None:
        self.connection.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    @property
    def reply(self) -> Reply:
        assert isinstance(self.outcome, Reply), self.outcome
        return self.outcome

    @property
    def error(self) -> MeshError:
        assert isinstance(self.outcome, MeshError), self.outcome
        return self.outcome


def call(operation: str = "GET", body: Union[bytes, ByteStream] = b"", **more: Any) -> Call:
    made = a_call()
    made.operation = operation
    made.target = b"/x"
    made.authority = "a"
    made.headers = Headers.of([("Host", "a")])
    made.body = body
    for name, value in more.items():
        setattr(made, name, value)
    return made
