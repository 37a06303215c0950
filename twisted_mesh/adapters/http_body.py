"""Request bodies on their way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mesh.codec.chunked import ChunkDecoder
from twisted_mesh.codec.request import CHUNKED
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.adapters.http_connection import HttpConnection

# After this many seconds a sender must have kept up this many bytes a second on average, our own pauses left out
# (Apache's mod_reqtimeout has 20 s and 500).  Without it one byte every few minutes would hold a slot for ever.
GRACE = 30.0
SLOWEST_RATE = 64


class RequestBody:
    """The body of the request that a connection is reading: its framing, its stream, and how fast it comes."""

    __slots__ = ("_connection", "_decoder", "_left", "_paused_at", "_paused_for", "began", "dropping", "stream")

    def __init__(self, connection: HttpConnection, length: int, now: float) -> None:
        self._connection = connection
        self._decoder = ChunkDecoder() if length == CHUNKED else None
        self._left = length
        self.stream = ByteStream(self, replay=True, length=None if length == CHUNKED else length)
        self.began = now
        self._paused_at = 0.0
        self._paused_for = 0.0
        self.dropping = False

    def feed(self, data: bytes) -> bytes:
        """Take what has come; returns what stands behind the body, once it has ended (see `done`).

        :raises HttpError: the chunked coding is broken.
        """
        decoder = self._decoder
        if decoder is None:
            piece, rest = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
            self._left -= len(piece)
            if piece:
                self.stream.write(piece)
            return rest
        for piece in decoder.feed(data):
            self.stream.write(piece)
        return decoder.rest

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._decoder.done if self._decoder is not None else not self._left

    @property
    def held(self) -> bool:
        """Whether it is us who keep the client from sending."""
        return bool(self._paused_at)

    def end(self) -> None:
        """Tell the receiver that the body is complete."""
        self.stream.end(self._decoder.trailers if self._decoder is not None else ())

    def too_slow(self, now: float) -> bool:
        """Whether the sender has fallen under the slowest rate that is put up with."""
        if self._paused_at:
            return False
        busy = now - self.began - self._paused_for
        return busy > GRACE and self.stream.size < (busy - GRACE) * SLOWEST_RATE

    def check(self, limit: int) -> None:
        """Hold what has come against the limit.

        :raises MeshError: `Kind.TOO_LARGE`.
        """
        if self.stream.size > limit:
            raise MeshError(Kind.TOO_LARGE, f"the body is over {limit} bytes", origin=Origin.CLIENT)

    # --- the stream's producer

    def pauseProducing(self) -> None:
        self._paused_at = self._connection.adapter.now()
        self._connection.pause_reading()

    def resumeProducing(self) -> None:
        if self._paused_at:
            self._paused_for += self._connection.adapter.now() - self._paused_at
            self._paused_at = 0.0
        self._connection.resume_reading()

    def wanted(self) -> None:
        """A filter waits for the whole body; its client may be waiting to be told to send it."""
        self._connection.invite_body()

    def stopProducing(self) -> None:
        """Nobody wants the rest: it is read and dropped until the answer is out, then the connection closes."""
        self.dropping = True
        self.resumeProducing()
