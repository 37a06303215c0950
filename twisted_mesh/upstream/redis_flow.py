"""Large values between a client and a Redis server: neither side is faster than the other takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.upstream.redis_replies import Replies


class Upload:
    """Sends a large command while it comes; nothing else is sent on that connection before it has ended."""

    __slots__ = ("_body", "_server", "_stopped", "_transport", "done")

    def __init__(self, server: Replies, transport: Any, body: ByteStream) -> None:
        self._server = server
        self._transport = transport
        self._body = body
        self._stopped = False
        # Whether all of it is sent.
        self.done = False

    def begin(self) -> None:
        """Send what there is, and the rest as it comes."""
        self._transport.registerProducer(self, True)
        # A transport that is disconnected wants nothing, and says why in a moment.
        if not self._stopped:
            self._body.attach(self)

    def body_data(self, data: bytes) -> None:
        """Send the next piece."""
        self._transport.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        """All of it is sent."""
        self.done = True
        self._transport.unregisterProducer()

    def body_failed(self, error: BaseException) -> None:
        """The client went away inside of the command, or spoilt it: it can only be ended with the connection."""
        self._transport.unregisterProducer()
        if not isinstance(error, MeshError):
            error = MeshError(Kind.CLIENT_GONE, "the client went away inside of a command", origin=Origin.CLIENT)
        self._server.fail(error)

    def pauseProducing(self) -> None:
        self._body.pause()

    def resumeProducing(self) -> None:
        self._body.resume()

    def stopProducing(self) -> None:
        self._stopped = True
        self._body.cancel()


class Hold:
    """Holds a server back while the reader of a large reply cannot take more."""

    __slots__ = ("_server",)

    def __init__(self, server: Replies) -> None:
        self._server = server

    def pauseProducing(self) -> None:
        self._server.pause(True)

    def resumeProducing(self) -> None:
        self._server.pause(False)

    def stopProducing(self) -> None:
        self._server.abandoned()
