"""TLS over the loop's transports: records in, bytes out, and the other way round.

The loops' own TLS costs more: beside the plain 7 us, a small request and its answer took 11 us with this, 12 to 14 with
uvloop's own and 26 with Twisted's over the same transport; an idle connection 15 KiB, 38 and 22 (plain asyncio: 288).
And it ends both directions at once, where TLS itself can end one (RFC 8446, section 6.1), which a client that has said
all it has to say may do.

OpenSSL is given at most a few records at a time: its buffers never shrink, and would keep what the largest write
needed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, Callable, Iterable, Optional

from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from twisted_mesh.net.timers import later
from twisted_mesh.net.transport import LoopTransport, dropped

log = Logger()

# Bytes that one record holds at most (RFC 8446, section 5.1).
RECORD = 16384
# Bytes of what came that OpenSSL is given at once.
_PIECE = 2 * RECORD
# Unsent bytes that answers to what only concerns TLS may add to; past that the peer makes us talk and does not listen.
_ANSWERS = 256 * 1024

_NOBODY = Protocol()

Secured = Callable[["TlsTransport", Optional[BaseException]], None]
"""What is called once, at the end of a handshake: with None, or with what went wrong."""


class Late(Exception):
    """The handshake took too long."""


class Gone(Exception):
    """The peer left during the handshake."""


class TlsTransport(LoopTransport):
    """One TLS connection: a Twisted transport, once its handshake is over and `adopt` gave it a protocol.

    `truncated` says whether the peer's bytes ended without its close_notify: whoever is between could have cut them.
    What breaks the rules of TLS ends the connection; its protocol sees a ConnectionLost, and `failure` is why.

    :param context: what makes the handshake; a server's, unless `server_name` says whom we have connected to.
    :param secured: called once, when the handshake is over; after a failure the connection ends by itself.
    """

    __slots__ = ("_deliver", "_incoming", "_notified", "_object", "_outgoing", "_secured", "failure", "truncated")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        context: ssl.SSLContext,
        secured: Secured,
        *,
        server_name: Optional[str] = None,
    ) -> None:
        super().__init__(loop, sock, _NOBODY)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name or None
        )
        self._secured: Optional[Secured] = secured
        self._deliver: Callable[[bytes], None] = dropped
        self._notified = False
        self.failure: Optional[BaseException] = None
        self.truncated = False
        self.data_received = self._shake

    @property
    def session(self) -> ssl.SSLObject:
        """What is known of the TLS session."""
        return self._object

    # --- the handshake

    def limit(self, seconds: float) -> None:
        """Give the handshake so much time."""
        self._timer = later(self._loop, seconds, self._late)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if not self._object.server_side:
            self._shake(b"")

    def adopt(self, protocol: Any) -> None:
        """Give the connection to a protocol; it gets ``makeConnection`` now."""
        self.protocol = protocol
        self._deliver = protocol.dataReceived
        try:
            protocol.makeConnection(self)
        except Exception:
            log.failure("{protocol!r} failed in makeConnection", protocol=protocol)
            self.reset()

    def _shake(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()
        self._end_timer()
        self.write = self._write
        self._receive(self._decrypt)
        secured, self._secured = self._secured, None
        assert secured is not None
        secured(self, None)
        if self._incoming.pending and not self._closing:
            self._decrypt(b"")

    def _late(self) -> None:
        self._timer = None
        self._told(Late())
        self.reset()

    def _fail(self, error: BaseException) -> None:
        """The handshake has failed: say so to the peer, and end."""
        self._end_timer()
        self._flush()
        self._told(error)
        # The alert is to arrive, whatever the peer has still under way.
        self.finish()

    def _told(self, error: BaseException) -> None:
        self.failure = error
        secured, self._secured = self._secured, None
        if secured is not None:
            secured(self, error)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _established(self) -> bool:
        """Whether the handshake went well."""
        return self._secured is None and self.failure is None

    # --- what comes

    def _receive(self, receive: Callable[[bytes], None]) -> None:
        """Have the loop give what comes to `receive` from now on."""
        self.data_received = receive
        self._transport.set_protocol(self)

    def _decrypt(self, data: bytes) -> None:
        if len(data) > _PIECE:
            self._gather(b"", data)
            return
        self._incoming.write(data)
        try:
            plain = self._object.read(RECORD)
        except ssl.SSLWantReadError:
            if self._outgoing.pending:
                self._answer()
            return
        except ssl.SSLError as error:
            self._ended(error)
            return
        if not plain:
            self._ended(None)
        elif self._incoming.pending:
            self._gather(plain, b"")
        else:
            self._deliver(plain)

    def _gather(self, first: bytes, data: bytes) -> None:
        """Read what is there and `data`, and deliver it as one, as if it had come in plain."""
        parts = [first] if first else []
        ended, error = False, None
        view = memoryview(data)
        while True:
            piece, view = view[:_PIECE], view[_PIECE:]
            self._incoming.write(piece)
            try:
                while part := self._object.read(RECORD):
                    parts.append(part)
                ended = True
            except ssl.SSLWantReadError:
                if view:
                    continue
            except ssl.SSLError as broken:
                ended, error = True, broken
            break
        if parts:
            self._deliver(b"".join(parts))
        if ended and not self._closing:
            self._ended(error)
        elif self._outgoing.pending and not self._closing:
            self._answer()

    def _answer(self) -> None:
        """Send what TLS itself has to say."""
        if self.buffered > _ANSWERS:
            self.reset()
        else:
            self._flush()

    def _ended(self, error: Optional[ssl.SSLError]) -> None:
        """The peer has said that it sends no more, or (with an error) something that is no TLS."""
        self._receive(dropped)
        if error is None or isinstance(error, ssl.SSLZeroReturnError):
            self._notified = True
            super().eof_received()
            return
        self.failure = error
        self._flush()
        self._closing = True
        self.write = dropped
        self._transport.close()
        self._linger()

    def eof_received(self) -> bool:
        if self._secured is not None:
            self._eof = True
            self._fail(Gone())
            return False
        if self._notified:
            return not self._closing
        self.truncated = True
        return super().eof_received()

    def connection_lost(self, error: Optional[BaseException]) -> None:
        self._deliver = dropped
        if self._secured is not None:
            self._told(Gone())
        super().connection_lost(error or self.failure)

    # --- what goes

    def _write(self, data: bytes) -> None:
        if len(data) > RECORD:
            # As one: asyncio's writelines of some Pythons (3.12.8, 3.13.1 and before) never pauses a producer.
            self._transport.write(b"".join(self._records(data)))
        elif data:
            self._object.write(data)
            self._transport.write(self._outgoing.read())

    def _records(self, data: bytes) -> list[bytes]:
        view = memoryview(data)
        made = []
        for start in range(0, len(data), RECORD):
            self._object.write(view[start : start + RECORD])
            made.append(self._outgoing.read())
        return made

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write several pieces as one."""
        self.write(b"".join(iovec))

    def _say_goodbye(self) -> None:
        """Send a close_notify."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            # It wants the peer's, which may come or not; if the connection is broken there is nothing to say.
            log.debug("a close_notify was sent, or could not be")
        self._flush()

    def loseConnection(self) -> None:
        if not self._closing and not self._write_closed and self._established:
            self._say_goodbye()
        super().loseConnection()

    def _close_write(self) -> None:
        if self._established:
            self._say_goodbye()
        super()._close_write()

    def _deliver_to(self, receive: Callable[[bytes], None]) -> None:
        self._deliver = receive
        if receive is dropped:
            self._receive(dropped)

    def left_behind(self) -> bytes:
        """Return what the peer had sent before it reset the connection, for ``connectionLost``; bounded."""
        view = memoryview(super().left_behind())
        found = []
        try:
            for start in range(0, len(view), _PIECE):
                self._incoming.write(view[start : start + _PIECE])
                while part := self._object.read(RECORD):
                    found.append(part)
        except ssl.SSLError:
            # It ends within a record, or was none.
            log.debug("what was left behind ends here")
        return b"".join(found)
