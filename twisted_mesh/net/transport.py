"""The loop's own transports behind Twisted's interfaces.

Adapters are ordinary Twisted protocols, so they are tested with StringTransport; in production their transport is a
`LoopTransport` over a transport of uvloop or asyncio.  There is one for every connection, idle ones too, so it is one
slotted object that is transport for the one side and asyncio protocol for the other, and the two calls of the hot path
go straight through: the loop holds the protocol's bound ``dataReceived`` (it asks for ``data_received`` once, when it
is given its protocol), and `write` *is* the loop transport's bound method.

What the loops' transports do not tell and this one hides:

- ``abort()`` with unsent bytes looks like a clean end to the peer; `reset` makes the kernel send a RST.
- ``close()`` waits for ever for a peer that does not read; `loseConnection` waits as long as the peer takes anything,
  and resets one that took nothing for `STUCK` seconds.
- ``write()`` raises on uvloop once the connection is lost; here it does nothing.
- reading again after an EOF reports the EOF again; here it does nothing.
- reading starts when ``connection_made`` returns, though that paused it; `settle` sees to it.

The loops' own limits decide when a producer is paused (64 KiB unsent): none from 64 KiB to 1 MiB made a bulk transfer
cheaper by more than the noise, and setting them costs time for each connection.

A connection that is not being read (`pauseProducing`) sees neither the peer's end nor its reset: whoever must notice a
peer that goes away keeps reading, and bounds what it keeps.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Callable, Iterable, Optional

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mesh.net.sockets import TwistedAddress, departed, queued, reset_on_close, twisted_address
from twisted_mesh.net.timers import later

log = Logger()

# Seconds after `loseConnection` in which a peer has to take some of what is unsent.  A slow reader gets all of it,
# however long that takes; windows open in steps, so a reader of 15 KB/s can seem to stand still for 4 s.
STUCK = 5.0
# Seconds between two looks at that.
_LOOK = 1.0
# Seconds that `finish` gives a peer to close its side.
LINGER = 1.0
# Bytes of what a peer sent before its reset that are still looked at.
LEFT_BEHIND = 256 * 1024
# Made once: a Failure costs microseconds, and thousands of connections may end at the same moment.
CLOSED = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())
ABORTED = Failure(ConnectionAborted())


def dropped(data: object) -> None:
    """Stands in for `write` and ``data_received`` once a direction is closed."""


def _too_early(data: object) -> None:
    """Stands in for `write` until the connection is made."""
    raise RuntimeError("nothing can be written before makeConnection")


@implementer(ITCPTransport, IConsumer, IPushProducer)
class LoopTransport:
    """One connection: a Twisted transport over a transport of the loop.

    The protocol gets ``makeConnection``, then ``dataReceived``, then ``connectionLost`` exactly once, with
    ConnectionDone (either side closed), ConnectionLost (reset or broken) or ConnectionAborted (`reset` was called).
    The peer's EOF closes the connection, unless the protocol provides IHalfCloseableProtocol: it then gets
    ``readConnectionLost`` and may go on writing.

    One push producer may be registered; it is paused while more than the loop's limit waits to be sent.
    """

    __slots__ = (
        "_aborted",
        "_closing",
        "_eof",
        "_loop",
        "_paused",
        "_producer",
        "_timer",
        "_transport",
        "_write_closed",
        "_write_paused",
        "data_received",
        "protocol",
        "sock",
        "write",
    )

    disconnecting = property(lambda self: self._closing)

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Any) -> None:
        self._loop = loop
        self.sock = sock
        self.protocol = protocol
        # What the loop calls with bytes.  It looks this up when it is given its protocol, and uvloop never again.
        self.data_received: Callable[[bytes], None] = protocol.dataReceived
        self.write: Callable[[bytes], None] = _too_early
        self._transport: Any = None
        self._producer: Any = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self._aborted = False
        self._closing = False
        self._eof = False
        self._paused = False
        self._write_closed = False
        self._write_paused = False

    def __repr__(self) -> str:
        if self._transport is None:
            state = "new"
        elif self._closing:
            state = "closing"
        else:
            state = "half closed" if self._eof or self._write_closed else "open"
        return f"<LoopTransport {state} {self.buffered} bytes unsent, for {self.protocol!r}>"

    def itself(self) -> LoopTransport:
        """Return this object: it serves as the loop's protocol factory."""
        return self

    def settle(self) -> None:
        """Called when the connection was made, before the loop reads: keep it from reading if that was asked for."""
        if self._paused and not self._closing:
            self._transport.resume_reading()
            self._transport.pause_reading()

    # --- what the loop calls: asyncio.Protocol by shape

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.write = transport.write
        try:
            self.protocol.makeConnection(self)
        except Exception:
            log.failure("{protocol!r} failed in makeConnection", protocol=self.protocol)
            self.reset()

    def eof_received(self) -> bool:
        self._eof = True
        if not self._closing and IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
            if not self._write_closed:
                return not self._closing
        self.loseConnection()
        return False

    def connection_lost(self, error: Optional[BaseException]) -> None:
        self._closing = True
        # Cut the cycles here: with thousands of connections the garbage collector must not be needed.
        self.write = self.data_received = dropped
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        reason = ABORTED if self._aborted else CLOSED if error is None else LOST
        self.protocol.connectionLost(reason)

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    # --- ITransport, IConsumer

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write several pieces with one system call."""
        if self.write is not dropped:
            self._transport.writelines(iovec)

    def loseConnection(self) -> None:
        """Send what waits, then close.  A peer that takes nothing of it for `STUCK` seconds is reset.

        What is written afterwards is dropped.
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        self.write = dropped
        self._transport.close()
        self._linger()

    def finish(self) -> None:
        """Send what waits and a FIN, then drop what the peer still sends until it closes too.

        A peer that has taken everything gets `LINGER` seconds for that; one that takes nothing is reset after `STUCK`.

        For a last answer to a peer that may still be sending: closing a socket with unread bytes makes the kernel send
        a RST, which can destroy the answer before the peer has read it (RFC 9112, 9.6).
        """
        if self._closing or self._transport is None:
            return
        if self._eof:
            self.loseConnection()
            return
        self.write = dropped
        self._deliver_to(dropped)
        self.resumeProducing()
        self._close_write()
        # From here on an EOF closes (see eof_received), and so does the time.
        self._timer = later(self._loop, LINGER, self._finishing, 0, 0.0)

    def reset(self) -> None:
        """End the connection now; the peer sees a RST, whatever it had been sent before."""
        if self._aborted or self._transport is None:
            return
        self._aborted = self._closing = True
        self.write = dropped
        reset_on_close(self.sock)
        self._transport.abort()

    abortConnection = reset

    def loseWriteConnection(self) -> None:
        """Send what waits, then a FIN; go on reading."""
        if self._closing or self._write_closed or self._transport is None:
            return
        if self._eof:
            self.loseConnection()
            return
        self.write = dropped
        self._close_write()

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        if self._transport is None:
            return 0
        size: int = self._transport.get_write_buffer_size()
        return size

    @property
    def untaken(self) -> int:
        """Bytes that were written and that the peer has not taken yet: ours, and those that the kernel holds."""
        return self.buffered + queued(self.sock)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have `producer`, a push producer, paused and resumed by how much waits to be sent.

        :raises ValueError: it is a pull producer.
        :raises RuntimeError: there is one already.
        """
        if not streaming:
            raise ValueError("only push producers are supported")
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self.write is dropped:
            producer.stopProducing()
            return
        self._producer = producer
        if self._write_paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    # --- IPushProducer

    def pauseProducing(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resumeProducing(self) -> None:
        self._paused = False
        if not self._eof:
            self._transport.resume_reading()

    def stopProducing(self) -> None:
        self.loseConnection()

    # --- ITCPTransport

    def getPeer(self) -> Any:
        """Return a Twisted address; of a unix socket too, which ITCPTransport has no type for."""
        return self._address("peername")

    def getHost(self) -> Any:
        """Return a Twisted address; of a unix socket too, which ITCPTransport has no type for."""
        return self._address("sockname")

    def getTcpNoDelay(self) -> bool:
        return bool(self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    # --- ours

    def left_behind(self) -> bytes:
        """Return what the peer had sent before it reset the connection, for ``connectionLost``; bounded.

        A loop that fails to write gives a connection up, and does not read what has come before the reset.
        """
        try:
            return self.sock.recv(LEFT_BEHIND, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def departed(self) -> str:
        """Return whether the peer has left ("reset", "end" or ""), also while the connection is not read."""
        return departed(self.sock)

    def switch(self, protocol: Any) -> None:
        """Give the connection to another protocol; it gets ``makeConnection`` now and all that comes from now on."""
        self.protocol = protocol
        if not self._closing:
            self._deliver_to(protocol.dataReceived)
        protocol.makeConnection(self)

    def _deliver_to(self, receive: Callable[[bytes], None]) -> None:
        self.data_received = receive
        self._transport.set_protocol(self)

    def _close_write(self) -> None:
        self._write_closed = True
        self._transport.write_eof()
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def _linger(self) -> None:
        if self._timer is None and self._transport.get_write_buffer_size():
            self._timer = later(self._loop, _LOOK, self._look, self.untaken, 0.0)

    def _look(self, before: int, stood: float) -> None:
        """See whether the peer has taken anything since there were `before` bytes; `stood` is for how long not."""
        self._timer = None
        left = self.untaken
        stood = 0.0 if left < before else stood + _LOOK
        if stood >= STUCK:
            self.reset()
        else:
            self._timer = later(self._loop, _LOOK, self._look, left, stood)

    def _finishing(self, before: int, stood: float) -> None:
        """See whether the peer still takes what it was sent, as `_look` does; if it has all, its time is up."""
        left = self.untaken
        # Until it is acknowledged, the FIN counts as a byte.
        if left > 1:
            stood = 0.0 if left < before else stood + LINGER
        elif before <= 1:
            stood = STUCK
        if stood >= STUCK:
            self.reset()
        else:
            self._timer = later(self._loop, LINGER, self._finishing, left, stood)

    def _address(self, which: str) -> Optional[TwistedAddress]:
        if self._transport is None:
            return None
        return twisted_address(self._transport.get_extra_info(which))
