"""An upstream connection that has left HTTP after a 101."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.upstream.http_link import HttpLink


class HttpTunnel:
    """The upstream half of an upgraded connection.

    `protocol` is what it was upgraded to; `stream` is what the upstream sends, `first` included.  Whoever takes the
    tunnel writes, half-closes with `end`, and ends it with `abort` or `close`.
    """

    __slots__ = ("_connection", "_taken", "first", "protocol", "stream")

    def __init__(self, connection: HttpLink, protocol: bytes, first: bytes) -> None:
        self._connection = connection
        self.protocol = protocol
        self.first = first
        self._taken = False
        self.stream = ByteStream(self)
        if first:
            self.stream.write(first)

    def __repr__(self) -> str:
        return f"<HttpTunnel {self.protocol.decode('latin-1')} {self.stream!r}>"

    # --- for whoever took it

    def write(self, data: bytes) -> None:
        """Send to the upstream."""
        self._connection.transport.write(data)

    @property
    def untaken(self) -> int:
        """Bytes that the upstream has not taken yet."""
        held: int = self._connection.transport.untaken
        return held

    def end(self) -> None:
        """Send no more; the upstream may go on."""
        self._connection.transport.loseWriteConnection()

    def paced_by(self, producer: Any) -> None:
        """Have `producer` paused and resumed by how fast the upstream takes what is written."""
        self._taken = True
        self._connection.transport.registerProducer(producer, True)

    def close(self) -> None:
        """Both sides have ended."""
        self._connection.transport.unregisterProducer()
        self._connection.transport.loseConnection()

    def abort(self) -> None:
        """End it now."""
        self._connection.transport.unregisterProducer()
        self._connection.transport.abortConnection()

    def drop(self) -> None:
        """The call has ended: if nobody took the tunnel, nobody will."""
        if not self._taken:
            self._connection.transport.abortConnection()

    # --- for the connection

    def received(self, data: bytes) -> None:
        """The upstream has sent something."""
        self.stream.write(data)

    def ended(self) -> None:
        """The upstream sends no more."""
        self.stream.end()

    def lost(self, reason: Any) -> None:
        """The connection is gone."""
        if reason.check(ConnectionDone) is not None:
            self.stream.end()
        else:
            self.stream.fail(MeshError(Kind.RESET, "the upstream reset the tunnel", origin=Origin.UPSTREAM))

    # --- the stream's producer

    def pauseProducing(self) -> None:
        self._connection.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._connection.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.abort()
