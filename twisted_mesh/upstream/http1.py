"""One HTTP/1.1 connection to an endpoint: the reply to the call that went out, then the next call."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.lines import SECRET
from twisted_mesh.codec.response import ResponseHead
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.upstream.http_body import ReplyBody
from twisted_mesh.upstream.http_link import HttpLink
from twisted_mesh.upstream.http_lost import why_lost

# Interim replies before the final one; a server that sends more has lost its way.
INTERIM_LIMIT = 32
# Bytes of a head that a connection keeps.
_REPEAT_LIMIT = 1024


@implementer(IHalfCloseableProtocol)
class HttpUpstream(HttpLink):
    """A connection to an endpoint; a Twisted protocol by shape.

    `send` takes one call at a time.  When the reply has been read whole, and the request sent whole, the connection
    goes back to its pool by itself; in every other case it is closed.
    """

    __slots__ = ()

    # --- a reply comes in

    def dataReceived(self, data: bytes) -> None:
        if self._reply_body is not None:
            self._more_body(self._reply_body, data)
        elif self._tunnel is not None:
            self._tunnel.received(data)
        elif self._call is None:
            # Nobody asked: the connection is not to be trusted with a request any more.
            self.pool.surplus(self)
            self._drop()
        else:
            self._got = True
            self._read(data)

    def _read(self, data: bytes) -> None:
        call = self._call
        repeat = self._repeat
        if (
            repeat
            and data.startswith(repeat)
            and self._buffer is None
            and call is not None
            and call.operation == self._repeat_for
        ):
            self._reply(call, self._head, data[len(repeat) :])  # type: ignore[arg-type]
            return
        while call is not None:
            start = 0
            if self._buffer is not None:
                start = len(self._buffer)
                self._buffer += data
                data = bytes(self._buffer)
            end = data.find(b"\r\n\r\n", max(0, start - 3))
            try:
                if end < 0:
                    self._buffer = buffer = bytearray(data)
                    self.reader.check_partial(buffer, start)
                    return
                self._buffer = None
                head = self.reader.read(data[:end], call.operation)
            except HttpError as error:
                self._fail(MeshError(Kind.BAD_REPLY, error.text, origin=Origin.UPSTREAM))
                return
            rest = data[end + 4 :] if end + 4 < len(data) else b""
            status = head[0].status
            if status >= 200 or status == 101:
                if end <= _REPEAT_LIMIT and not head[5] & SECRET:
                    self._repeat = data[: end + 4]
                    self._repeat_for = call.operation
                    self._head = head
                self._reply(call, head, rest)
                return
            if not self._interim(call, head):
                return
            data = rest
            if not data:
                return

    def _interim(self, call: Call, head: ResponseHead) -> bool:
        """Pass on a 1xx reply; returns whether to go on reading."""
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            self._fail(MeshError(Kind.BAD_REPLY, f"over {INTERIM_LIMIT} interim replies", origin=Origin.UPSTREAM))
            return False
        if call.on_interim is not None:
            call.on_interim(Reply(head[0].status, Headers(head[1]), reason=head[0].reason))
        return self._call is call

    def _reply(self, call: Call, head: ResponseHead, rest: bytes) -> None:
        line, fields, length, keep, upgrade, _ = head
        # A copy, as the head may come again.
        fields = fields.copy()
        if keep and 0 < length == len(rest) and self._keep and self._sending is None:
            # What nearly every reply is, in line: whole, and nothing behind it.
            parked, self._parked = self._parked, None
            self._call = None
            self._interims = 0
            self.pool.release(self)
            if parked is not None:
                reply = Reply(line.status, Headers(fields), rest)
                reply.reason = line.reason
                parked.fire(reply)
            return
        reply = Reply(line.status, Headers(fields), reason=line.reason)
        if not length:
            reply.bare = True
        if upgrade:
            self._switch(call, upgrade, reply, rest)
            return
        if not keep:
            self._keep = False
        if 0 <= length <= len(rest):
            reply.body = rest[:length] if length else b""
            if len(rest) > length:
                self._keep = False
                self.pool.surplus(self)
            self._finished(reply)
            return
        self._stream(reply, length, rest)

    def _stream(self, reply: Reply, length: int, rest: bytes) -> None:
        """Begin a reply whose body is not all here yet."""
        body = ReplyBody(self, length)
        if rest:
            try:
                behind = body.feed(rest)
            except HttpError as error:
                self._fail(MeshError(Kind.BAD_REPLY, error.text, origin=Origin.UPSTREAM))
                return
            if body.done:
                self._check_surplus(behind)
                body.read_on()
                body.end()
                reply.trailers = body.stream.trailers
                reply.body = body.stream.whole()
                self._finished(reply)
                return
        reply.body = body.stream
        self._reply_body = body
        parked, self._parked = self._parked, None
        if parked is not None:
            parked.fire(reply)

    def _more_body(self, body: ReplyBody, data: bytes) -> None:
        try:
            behind = body.feed(data)
        except HttpError as error:
            self._reply_body = None
            body.stream.fail(MeshError(Kind.BAD_REPLY, error.text, origin=Origin.UPSTREAM))
            self._fail(None)
            return
        if body.done and self._reply_body is body:
            self._check_surplus(behind)
            self._reply_body = None
            body.read_on()
            self._release()
            body.end()

    def _check_surplus(self, behind: bytes) -> None:
        if behind:
            self._keep = False
            self.pool.surplus(self)

    def _finished(self, reply: Reply) -> None:
        """A reply came whole: give the connection back, then let the call go on."""
        parked = self._parked
        self._parked = None
        self._release()
        if parked is not None:
            parked.fire(reply)

    def _switch(self, call: Call, upgrade: bytes, reply: Reply, rest: bytes) -> None:
        """A 101: the connection leaves HTTP, and leaves the pool with it."""
        asked = [each.strip().lower().encode("latin-1") for each in call.upgrade.split(",")]
        if not call.upgrade or upgrade not in asked:
            self._fail(MeshError(Kind.BAD_REPLY, "a 101 answer that nobody asked for", origin=Origin.UPSTREAM))
            return
        from twisted_mesh.upstream.http_tunnel import HttpTunnel

        self._tunnel = tunnel = HttpTunnel(self, upgrade, rest)
        reply.tunnel = tunnel
        parked, self._parked = self._parked, None
        self._call = None
        if parked is not None:
            parked.fire(reply)

    # --- ends

    def readConnectionLost(self) -> None:
        """The upstream sends no more; only a tunnel goes on in the other direction."""
        if self._tunnel is not None:
            self._tunnel.ended()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have half-closed ourselves: nothing to do."""

    def connectionLost(self, reason: Any) -> None:
        if self._lost:
            return
        self._lost = True
        self.pool.lost(self)
        if self._sending is not None and reason.check(ConnectionDone) is None:
            self._read_last()
        body, self._reply_body = self._reply_body, None
        if self._tunnel is not None:
            self._tunnel.lost(reason)
        elif body is not None:
            self._end_body(body, reason)
        elif self._parked is not None:
            call = self._call
            assert call is not None
            clean = reason.check(ConnectionDone) is not None
            self._fail(why_lost(call, self.pool.endpoint.address, clean=clean, answering=self._got, uses=self.uses))
        self._stop_sending()
        self._call = None

    def _read_last(self) -> None:
        """Read the answer of a server that gave it before it had the whole request, and closed: that is a reset."""
        left_behind = getattr(self.transport, "left_behind", None)
        data = b"" if left_behind is None else left_behind()
        self._keep = False
        if data:
            self.dataReceived(data)

    def _end_body(self, body: ReplyBody, reason: Any) -> None:
        if body.until_close and reason.check(ConnectionDone) is not None:
            body.end()
            return
        body.stream.fail(
            MeshError(Kind.RESET, "the upstream closed before the end of its answer", origin=Origin.UPSTREAM)
        )
