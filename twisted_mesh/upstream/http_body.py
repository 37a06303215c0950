"""Bodies on the upstream side: requests going out, replies coming in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mesh.codec.chunked import ChunkDecoder, encode_chunk, encode_end
from twisted_mesh.codec.response import CHUNKED, UNTIL_CLOSE
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.upstream.http_link import HttpLink


class Sending:
    """A request body on its way to an endpoint: receives the stream, and is the transport's producer."""

    __slots__ = ("_chunked", "_connection", "_full", "_stopped", "_stream")

    def __init__(self, connection: HttpLink, stream: ByteStream) -> None:
        self._connection = connection
        self._stream = stream
        self._chunked = stream.length is None
        self._full = False
        self._stopped = False

    def start(self) -> None:
        """Send what comes, unless the connection still has enough to send from the request before."""
        self._stream.attach(self)
        if self._full and not self._stopped:
            self._stream.pause()

    def stop(self) -> None:
        """Send no more; the stream is left for whoever sends it again."""
        self._stopped = True
        self._stream.detach()

    # --- the stream's receiver

    @property
    def untaken(self) -> int:
        """Bytes that the endpoint has not taken yet."""
        held: int = self._connection.transport.untaken
        return held

    def body_data(self, data: bytes) -> None:
        if not self._stopped:
            self._connection.transport.write(encode_chunk(data) if self._chunked else data)

    def body_ended(self, trailers: Trailers) -> None:
        if self._stopped:
            return
        if self._chunked:
            self._connection.transport.write(encode_end(trailers))
        elif self._stream.size != self._stream.length:
            error = f"a request's body of {self._stream.length} bytes had {self._stream.size}"
            self._connection.cut(self, MeshError(Kind.INTERNAL, error))
            return
        self._connection.sent(self)

    def body_failed(self, error: BaseException) -> None:
        if not self._stopped:
            self._connection.cut(self, error)

    # --- the transport's producer

    def pauseProducing(self) -> None:
        self._full = True
        if not self._stopped:
            self._stream.pause()

    def resumeProducing(self) -> None:
        self._full = False
        if not self._stopped:
            self._stream.resume()

    def stopProducing(self) -> None:
        """The connection is gone; its `connectionLost` follows."""


class ReplyBody:
    """The body of the reply that a connection is reading: its framing and its stream."""

    __slots__ = ("_connection", "_decoder", "_left", "_paused", "stream", "until_close")

    def __init__(self, connection: HttpLink, length: int) -> None:
        self._connection = connection
        self._paused = False
        self._decoder = ChunkDecoder() if length == CHUNKED else None
        self.until_close = length == UNTIL_CLOSE
        self._left = length
        self.stream = ByteStream(self, length=length if length >= 0 else None)

    def feed(self, data: bytes) -> bytes:
        """Take what has come; returns what stands behind the body.

        :raises HttpError: the chunked coding is broken.
        """
        if self._decoder is not None:
            for piece in self._decoder.feed(data):
                self.stream.write(piece)
            return self._decoder.rest
        if self.until_close:
            self.stream.write(data)
            return b""
        if len(data) <= self._left:
            self._left -= len(data)
            self.stream.write(data)
            return b""
        piece, rest = data[: self._left], data[self._left :]
        self._left = 0
        self.stream.write(piece)
        return rest

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        if self._decoder is not None:
            return self._decoder.done
        return not self.until_close and not self._left

    def read_on(self) -> None:
        """Read from the connection again, now that the whole body has come.

        Its last piece may have made a slow reader pause us, which must not keep the next reply from being read.
        """
        if self._paused:
            self.resumeProducing()

    def end(self) -> None:
        """Tell the receiver that the body is complete."""
        self.stream.end(self._decoder.trailers if self._decoder is not None else ())

    # --- the stream's producer

    def pauseProducing(self) -> None:
        self._paused = True
        self._connection.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        self._connection.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        self._connection.abort()
