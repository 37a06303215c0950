"""One client's HTTP/1.x connection: bytes to requests, one after another.

Requests are answered one after another.  What a client pipelines behind the request in hand waits as bytes, bounded,
and is not even parsed before its turn: so a read that holds a thousand requests costs nothing but its bytes.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, Optional

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from twisted_mesh.adapters.http_asking import Asking
from twisted_mesh.adapters.http_body import RequestBody
from twisted_mesh.adapters.http_deadlines import NEVER
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.lines import SECRET
from twisted_mesh.codec.request import RequestHead
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin

if TYPE_CHECKING:
    from twisted_mesh.adapters.http import HttpAdapter

# What is kept of pipelined requests before the connection is no longer read.  Reading goes on up to here while a call
# is in flight, since a connection that is not read does not show that its client has gone.
PIPELINE_LIMIT = 64 * 1024
# Seconds that a drain waits for the next request of a connection that was accepted, or asked something, just before it:
# less than a client would mind, and more than a request takes that is under way.  A client that asks all the time would
# otherwise lose one to the close that crosses it.
NEXT_REQUEST = 1.0
# Bytes of a head that a connection keeps.
_REPEAT_LIMIT = 1024
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


@implementer(IHalfCloseableProtocol)
class HttpConnection(Asking):
    """A client connection; a Twisted protocol by shape."""

    __slots__ = ("_head", "_partial", "_repeat")

    def __init__(self, adapter: HttpAdapter, peer: str, peer_host: str) -> None:
        super().__init__(adapter, peer, peer_host)
        self._partial: Optional[bytearray] = None
        # The head that was read last, and the bytes that it was read from: a client that polls, or calls one function
        # again and again, repeats them, and to see that costs a twentieth of reading them.
        self._repeat = b""
        self._head: Optional[RequestHead] = None

    def __repr__(self) -> str:
        state = "gone" if self._gone else "ending" if self._ending else repr(self.call) if self.call else "idle"
        return f"<HttpConnection from {self.peer} {state}>"

    @property
    def busy(self) -> bool:
        """Whether a call is in flight."""
        return self.call is not None

    # --- Twisted's protocol

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.deadline = self.adapter.now() + self.adapter.header_timeout
        self.adapter.opened(self)
        transport.registerProducer(self, True)
        if self.adapter.draining:
            # It waited in the backlog when the drain began.
            self.drain()

    def dataReceived(self, data: bytes) -> None:
        if self.body is not None:
            data = self._feed_body(data)
        if not data or self._ending:
            return
        if self.call is not None:
            self._hold(data)
        elif self._partial is not None:
            self._continue(data)
        else:
            self._read(data)

    def readConnectionLost(self) -> None:
        """The client will send no more: it has gone, unless the listener allows for clients that half-close."""
        if self.tunnel is not None:
            self.tunnel.client_ended()
        elif self.call is not None and self.body is None and self.adapter.half_close:
            self._half_closed = True
            # What it asked behind this call is still answered.
            self._keep = bool(self._buffer) and self._keep
        elif self._reply_body is not None:
            # A FIN of our own could make what was sent of the reply look complete.
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have half-closed ourselves: nothing to do."""

    def connectionLost(self, reason: Any) -> None:
        self._gone = self._ending = True
        self.deadline = NEVER
        self.adapter.closed(self)
        self._buffer = b""
        call, driver, body = self.call, self._driver, self.body
        self.body = None
        if call is None:
            return
        if self.tunnel is not None:
            self.tunnel.client_lost(reason)
            self._complete(self.adapter.now())
            return
        if driver is not None or self._reply_body is not None:
            call.flag(Kind.CLIENT_GONE)
        gone = MeshError(Kind.CLIENT_GONE, "the client closed the connection", origin=Origin.CLIENT)
        if driver is not None:
            self.adapter.calls.cancel(driver, Cancelled(Kind.CLIENT_GONE))
        elif self._reply_body is not None:
            self._reply_body.cancel()
            self._complete(self.adapter.now())
        if body is not None:
            body.stream.fail(gone)

    # --- reading

    def _read(self, data: bytes) -> None:
        """Take requests out of `data` as long as each is answered at once; what remains waits."""
        self._reading = True
        try:
            while data and self.call is None and not self._ending and not self._full:
                repeat = self._repeat
                if repeat and data.startswith(repeat):
                    head: RequestHead = self._head  # type: ignore[assignment]
                    start = len(repeat)
                else:
                    end = data.find(b"\r\n\r\n")
                    if end <= 0 or data[0] == 13:
                        data = self._no_head(data, end)
                        continue
                    try:
                        head = self.adapter.reader.read(data[:end])
                    except HttpError as error:
                        self._refuse(error)
                        return
                    start = end + 4
                    if start <= _REPEAT_LIMIT and not head[4] & SECRET:
                        self._repeat = data[:start]
                        self._head = head
                if head[3]:
                    data = self._take(head, data, start)
                else:
                    data = data[start:]
                    self._begin(head, b"")
        finally:
            self._reading = False
        if data and not self._ending:
            self._hold(data)
        elif self._read_paused and (self.body is None or not self.body.held):
            self.resume_reading()

    def _take(self, head: RequestHead, data: bytes, start: int) -> bytes:
        """Begin the call of a head with a body; returns what stands behind the request."""
        length = head[3]
        if 0 < length <= len(data) - start:
            self._begin(head, data[start : start + length])
            return data[start + length :]
        body = RequestBody(self, length, self.adapter.now())
        rest = b""
        if start < len(data):
            try:
                rest = body.feed(data[start:])
            except HttpError as error:
                self._refuse(error)
                return b""
        if body.done:
            body.end()
            self._begin(head, body.stream.whole(), None, body.stream.trailers)
        else:
            self._begin(head, body.stream, body)
        return rest

    def _no_head(self, data: bytes, end: int) -> bytes:
        """Deal with data that does not begin with a whole head; returns what is left to read."""
        if data.startswith(b"\r\n"):
            # RFC 9112 section 2.2: an empty line before a request is ignored.
            return data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]
        if end > 0:
            return self._bad(data)
        self._partial = partial = bytearray(data)
        self.deadline = self.adapter.now() + self.adapter.header_timeout
        self._check(partial, 0)
        return b""

    def _bad(self, data: bytes) -> bytes:
        self._refuse(HttpError(400, "a bare CR or LF before the request"))
        return b""

    def _continue(self, data: bytes) -> None:
        """Add to a head that came in pieces."""
        partial = self._partial
        assert partial is not None
        looked = len(partial)
        partial += data
        if partial.startswith(b"\r\n"):
            # The empty line came in pieces.  The head's time goes on, or a client could stay for ever with such lines.
            del partial[: _EMPTY_LINES.match(partial).end()]  # type: ignore[union-attr]
            looked = 0
        if partial.find(b"\r\n\r\n", max(0, looked - 3)) < 0:
            self._check(partial, looked)
            return
        self._partial = None
        self._read(bytes(partial))

    def _check(self, partial: bytearray, looked: int) -> None:
        try:
            self.adapter.reader.check_partial(partial, looked)
        except HttpError as error:
            self._refuse(error)

    def _hold(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.client_data(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        # An empty line ends a head.  Bodies may hold some too, so this counts at least the requests that wait.
        if len(self._buffer) > PIPELINE_LIMIT or self._buffer.count(b"\r\n\r\n") >= self.adapter.pipelined:
            self.pause_reading()
        else:
            self.resume_reading()

    def _feed_body(self, data: bytes) -> bytes:
        """Hand on what came of the request body; returns what stands behind it."""
        body, call = self.body, self.call
        assert body is not None and call is not None
        self.active_at = now = self.adapter.now()
        try:
            rest = body.feed(data)
            call.bytes_in = body.stream.size
            if call.body_limit is not None:
                body.check(call.body_limit)
        except HttpError as error:
            self._spoilt(MeshError(Kind.BAD_REQUEST, error.text, origin=Origin.CLIENT, status=error.status))
            return b""
        except MeshError as error:
            self._spoilt(error)
            return b""
        if not body.done:
            return b""
        if self.body is body:
            self.body = None
            call.received = now
            body.end()
            self.resume_reading()
        return rest

    def _spoilt(self, error: MeshError) -> None:
        """The request's body turned out to be unacceptable while the call was under way."""
        body, self.body = self.body, None
        self._keep = False
        self._ending = True
        if body is not None:
            body.stream.fail(error)
        self.stop(error.kind, error.detail, error.status)

    def forget_head(self) -> None:
        """Heads are read by other rules from now on."""
        self._repeat = b""
        self._head = None

    # --- time, drain

    def _expired_idle(self) -> None:
        partial, self._partial = self._partial, None
        if partial:
            self._refuse(HttpError(408, f"no whole request head within {self.adapter.header_timeout:g} s"))
        else:
            super()._expired_idle()

    def drain(self) -> None:
        """Close if idle; a request that has begun to come in is still answered, and one that may be is waited for."""
        if self.call is not None or self._partial is not None or self._ending or self._unread():
            return
        now = self.adapter.now()
        until = (self.active_at or now) + NEXT_REQUEST
        if until <= now:
            self._expired_idle()
        else:
            self.deadline = min(self.deadline, until)

    def _unread(self) -> bool:
        """Whether the kernel holds bytes of a request that has not been read yet."""
        sock = getattr(self.transport, "sock", None)
        if sock is None:
            return False
        try:
            return bool(sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
