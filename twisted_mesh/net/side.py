"""One end of a TCP call: a connected socket, read as a stream only if somebody asks for its bytes.

Until somebody attaches to the side's stream (a filter that looks at the bytes does) nothing is read, and whoever joins
two such sides may take both sockets and have the kernel move the bytes.
"""

from __future__ import annotations

import asyncio
from socket import socket as Socket
from typing import Any, Callable, Optional

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.net.accept import attach
from twisted_mesh.net.sockets import reset_on_close
from twisted_mesh.net.transport import LoopTransport
from twisted_mesh.stream import ByteStream, Receiver

log = Logger()


def _nothing(side: Side) -> None:
    """Nobody wants to be told."""


class OnDemand(ByteStream):
    """What a side's peer sends; reading it begins when the first receiver attaches."""

    __slots__ = ("side",)

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.side = side

    def attach(self, receiver: Receiver) -> None:
        self.side.open(self)
        super().attach(receiver)


@implementer(IHalfCloseableProtocol)
class Side:
    """One end of a TCP call; a Twisted protocol by shape once it is open.

    `body` gives a stream of what the peer sends.  A reset by the peer cuts it with a `MeshError` of `kind`.

    :param name: of the peer, for that error.

    `opened`: the loop reads the socket, so it cannot be taken any more.  `transport` is there once the connection is
    made, which `on_made` tells; `reset` says whether it was lost other than by an orderly end, `lost` that it is gone,
    which `on_lost` tells.  `on_opened` tells that somebody asked for the bytes, `on_aborted` that this
    end gave the connection up.
    """

    __slots__ = (
        "_loop",
        "_paused",
        "_sock",
        "first",
        "kind",
        "lost",
        "name",
        "on_aborted",
        "on_lost",
        "on_made",
        "on_opened",
        "opened",
        "reset",
        "stream",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: Socket, kind: Kind, name: str) -> None:
        self._loop = loop
        self._sock: Optional[Socket] = sock
        self._paused = False
        self.kind = kind
        self.name = name
        self.first = b""
        self.opened = False
        self.lost = False
        self.reset = False
        self.transport: Any = None
        self.on_aborted: Callable[[Side], None] = _nothing
        self.on_opened: Callable[[Side], None] = _nothing
        self.on_made: Callable[[Side], None] = _nothing
        self.on_lost: Callable[[Side], None] = _nothing
        # There only once it is opened: a side and a stream that hold each other are left to the garbage collector.
        self.stream: Optional[ByteStream] = None

    def __repr__(self) -> str:
        state = "lost" if self.lost else "opened" if self.opened else "closed" if self._sock is None else "unread"
        return f"<Side of {self.name} {state}>"

    @property
    def socket(self) -> Socket:
        """The socket, to be watched; it stays the side's.

        :raises RuntimeError: there is none any more.
        """
        if self._sock is None:
            raise RuntimeError(f"{self!r} has no socket")
        return self._sock

    @property
    def whole(self) -> bool:
        """Whether nobody has read from it, so that `take` gives everything the peer sends."""
        return self._sock is not None and not self.opened

    def take(self) -> Socket:
        """Return the socket, which then is the caller's.

        :raises RuntimeError: it was opened, taken or closed.
        """
        sock = self._sock
        if sock is None or self.opened:
            raise RuntimeError(f"{self!r} cannot be taken")
        self._sock = None
        return sock

    def body(self) -> OnDemand:
        """Return a stream of what the peer sends; the first that is attached to gets it."""
        return OnDemand(self)

    def open(self, stream: Optional[ByteStream] = None) -> None:
        """Have the loop read the socket into `stream`; without one, what comes waits, bounded, for nobody."""
        if self.opened or self._sock is None:
            return
        self.opened = True
        self.stream = ByteStream(self) if stream is None else stream
        self.on_opened(self)
        try:
            attach(self._loop, LoopTransport(self._loop, self._sock, self))
        except OSError:
            self._sock.close()
            self._gone(broken=True)

    # --- sending, once it is open and made

    def write(self, data: bytes) -> None:
        """Send to the peer."""
        self.transport.write(data)

    def end(self) -> None:
        """Send no more."""
        if not self.lost:
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Both directions have ended."""
        if self.transport is None:
            self._close_unread()
        elif not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def finish(self) -> None:
        """Send no more, and read no more; the peer sees an orderly end even if it is still sending."""
        if not self.lost:
            self.transport.unregisterProducer()
            self.transport.finish()

    def abort(self) -> None:
        """End it now; the peer sees a reset."""
        self.on_aborted(self)
        if self.transport is not None:
            if not self.lost:
                self.transport.unregisterProducer()
                self.transport.abortConnection()
        elif self._sock is not None:
            reset_on_close(self._sock)
            self._close_unread()

    def forget(self) -> None:
        """Tell nobody of anything any more; for its owner, at the end, so that no cycle waits to be collected."""
        self.on_lost = self.on_made = self.on_opened = self.on_aborted = _nothing

    def _close_unread(self) -> None:
        sock = self._sock
        # One that is just being opened is closed as soon as it is made.
        if sock is not None and not self.opened:
            self.lost = True
            sock.close()
        self._sock = None

    # --- Twisted's protocol

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        if self._sock is None:
            transport.abortConnection()
            return
        self._sock = None
        if self._paused:
            transport.pauseProducing()
        self.on_made(self)

    def dataReceived(self, data: bytes) -> None:
        stream = self.stream
        if stream is None:
            return
        try:
            stream.write(data)
        except Exception as error:
            # A filter's own receiver; what `ByteStream.map` calls is caught there.
            log.failure("a filter failed on the bytes of a TCP call")
            stream.fail(error)
            self.abort()

    def readConnectionLost(self) -> None:
        if self.stream is not None:
            self.stream.end()

    def writeConnectionLost(self) -> None:
        """We have ended our direction ourselves."""

    def connectionLost(self, reason: Failure) -> None:
        self._gone(broken=reason.check(ConnectionDone) is None)

    def _gone(self, *, broken: bool) -> None:
        self.lost = True
        self.reset = broken
        stream, self.stream = self.stream, None
        if stream is not None and broken:
            origin = Origin.CLIENT if self.kind is Kind.CLIENT_GONE else Origin.UPSTREAM
            stream.fail(MeshError(self.kind, f"{self.name} reset the connection", origin=origin))
        elif stream is not None:
            stream.end()
        self.on_lost(self)

    # --- the stream's producer

    def pauseProducing(self) -> None:
        self._paused = True
        if self.transport is not None:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self.transport is not None:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nobody wants what the peer sends."""
        self.abort()
