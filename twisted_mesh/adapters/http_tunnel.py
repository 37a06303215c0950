"""After a 101 both sides become a tunnel: bytes both ways, half-close, backpressure, a time limit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from twisted.internet.error import ConnectionDone

from twisted_mesh.adapters import http_answer as answers
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.adapters.http_answering import Answering


class Upgraded(Protocol):
    """The upstream half, as `upstream.http_tunnel` makes it."""

    protocol: bytes
    stream: ByteStream

    @property
    def untaken(self) -> int: ...

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def paced_by(self, producer: Any) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


def open_tunnel(connection: Answering, call: Call, reply: Reply) -> None:
    """Send the 101 and let bytes flow."""
    upstream = cast(Upgraded, reply.tunnel)
    connection.transport.write(answers.upgraded(reply, upstream.protocol.decode("latin-1")))
    connection.tunnel = tunnel = ClientTunnel(connection, call, upstream)
    call.timeout = None
    tunnel.begin()


class ClientTunnel:
    """The client's half: receives what the upstream sends, and is both transports' producer in turn."""

    __slots__ = (
        "_call",
        "_client_ended",
        "_connection",
        "_done",
        "_full",
        "_upstream",
        "_upstream_ended",
        "_upstream_gone",
    )

    def __init__(self, connection: Answering, call: Call, upstream: Upgraded) -> None:
        self._connection = connection
        self._call = call
        self._upstream = upstream
        self._client_ended = self._upstream_ended = self._upstream_gone = self._done = self._full = False

    def begin(self) -> None:
        """Deliver what has waited, and go on."""
        connection = self._connection
        connection.active_at = connection.adapter.now()
        connection.transport.unregisterProducer()
        connection.transport.registerProducer(self, True)
        # Before the upstream may say that it takes no more.
        connection.resume_reading()
        self._upstream.paced_by(_Reading(connection, self))
        self._upstream.stream.attach(self)
        if self._full:
            self._upstream.stream.pause()
        early, connection._buffer = connection._buffer, b""
        if early:
            self.client_data(early)

    @property
    def untaken(self) -> int:
        """Bytes that the upstream has not taken yet."""
        return self._upstream.untaken

    # --- from the client

    def client_data(self, data: bytes) -> None:
        """The client has sent something."""
        self._connection.active_at = self._connection.adapter.now()
        self._call.bytes_in += len(data)
        self._upstream.write(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        self._client_ended = True
        self._upstream.end()
        self._maybe_done()

    def client_lost(self, reason: Any) -> None:
        """The client's connection is gone."""
        if self._done:
            return
        self._done = True
        if reason.check(ConnectionDone) is None:
            self._call.flag(Kind.CLIENT_GONE)
        self._upstream.abort()

    # --- from the upstream: a stream's receiver

    def body_data(self, data: bytes) -> None:
        self._connection.active_at = self._connection.adapter.now()
        self._call.bytes_out += len(data)
        self._connection.transport.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        self._upstream_ended = True
        if self._upstream_gone:
            self._finish()
        elif not self._done:
            self._connection.transport.loseWriteConnection()
            self._maybe_done()

    def upstream_gone(self) -> None:
        """The upstream's connection is gone: nobody takes what the client sends from now on."""
        self._upstream_gone = True
        if self._upstream_ended:
            self._finish()

    def body_failed(self, error: BaseException) -> None:
        if self._done:
            return
        self._done = True
        if isinstance(error, MeshError):
            self._call.flag(error.flag)
            self._call.details = error.detail
        self._connection.transport.unregisterProducer()
        self._connection.transport.abortConnection()

    # --- the client transport's producer

    def pauseProducing(self) -> None:
        self._full = True
        self._upstream.stream.pause()

    def resumeProducing(self) -> None:
        self._full = False
        self._upstream.stream.resume()

    def stopProducing(self) -> None:
        """The connection is gone; `client_lost` follows."""

    def abort(self) -> None:
        """End both sides now."""
        self._done = True
        self._upstream.abort()
        self._connection.transport.unregisterProducer()
        self._connection.transport.abortConnection()

    def _maybe_done(self) -> None:
        if self._client_ended and self._upstream_ended:
            self._finish()

    def _finish(self) -> None:
        """End both sides, once what is under way to the client has been sent."""
        if not self._done:
            self._done = True
            self._upstream.close()
            self._connection.transport.unregisterProducer()
            self._connection.transport.loseConnection()


class _Reading:
    """The upstream transport's producer: how fast we read from the client."""

    __slots__ = ("_connection", "_tunnel")

    def __init__(self, connection: Answering, tunnel: ClientTunnel) -> None:
        self._connection = connection
        self._tunnel = tunnel

    def pauseProducing(self) -> None:
        self._connection.pause_reading()

    def resumeProducing(self) -> None:
        self._connection.resume_reading()

    def stopProducing(self) -> None:
        """The upstream's connection is gone; its stream says how it ended, but not when it had half-closed before."""
        self._tunnel.upstream_gone()
