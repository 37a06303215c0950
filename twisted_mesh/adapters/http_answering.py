"""The answering half of a client connection: replies go out, bodies flow, calls end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted_mesh.adapters import http_answer as answers
from twisted_mesh.adapters.http_deadlines import NEVER, Deadlines
from twisted_mesh.adapters.http_refusal import bad_request, refusal
from twisted_mesh.call import Call, Reply, deadline_passed
from twisted_mesh.codec.chunked import encode_chunk, encode_end
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.codec.grammar import HttpError

# Up to this size a body leaves in one piece with its head; beyond it, copying costs more than a second write.
_JOIN_LIMIT = 64 * 1024


class Answering(Deadlines):
    """What `HttpConnection` does once its call has a reply."""

    __slots__ = ()

    # --- the chain has ended

    def _answer(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        """Send what the chain came to; the driver calls this exactly once for each call."""
        driver, self._driver = self._driver, None
        if driver is not None:
            self.adapter.calls.discard(driver)
        if error is None and not isinstance(reply, Reply):
            error = TypeError(f"a filter returned {reply!r} in the place of a reply")
        if error is not None:
            reply = self._failed(call, error)
        assert reply is not None
        now = self.adapter.now()
        call.head_at = now
        call.status = reply.status
        if self._gone:
            reply.discard()
            self._complete(now)
            return
        try:
            if type(reply.body) is bytes and reply.tunnel is None:
                self._send_whole(call, reply, reply.body, now)
            elif reply.tunnel is not None:
                self._open_tunnel(call, reply)
            else:
                self._send_streamed(call, reply)
        except Exception as problem:
            if self.call is not call:
                raise
            self._unfit(call, reply, problem)

    def _failed(self, call: Call, error: BaseException) -> Reply:
        """Return the reply for a call that came to nothing, and mark the call."""
        if isinstance(error, Cancelled):
            error = _from_cancelled(call, error)
        elif not isinstance(error, MeshError):
            self.adapter.filter_failed(call, error)
            error = MeshError(Kind.INTERNAL, "a filter failed")
        call.flag(error.flag)
        call.details = error.detail or error.kind.value
        return refusal(call, error)

    def _unfit(self, call: Call, reply: Reply, error: Exception) -> None:
        """A filter made a reply that cannot be sent: say so while nothing has been sent, else cut."""
        self.adapter.filter_failed(call, error)
        failed = MeshError(Kind.INTERNAL, "a filter made a reply that cannot be sent")
        call.flag(failed.flag)
        call.details = failed.detail
        reply.discard()
        if self._reply_body is not None:
            self._reply_body = None
            self._cut_off()
        elif self.tunnel is not None:
            self.tunnel.abort()
        else:
            told = refusal(call, failed)
            call.status = told.status
            assert isinstance(told.body, bytes)
            self._send_whole(call, told, told.body, call.head_at)

    def _send_whole(self, call: Call, reply: Reply, body: bytes, now: float) -> None:
        keep = self._keep and self.body is None and not self.adapter.closing
        call.bytes_out = size = len(body)
        if (
            keep
            and 0 < size <= _JOIN_LIMIT
            and self._minor
            and call.operation != "HEAD"
            and reply.status not in answers.BODILESS
            and not reply.trailers
            and not reply.bare
        ):
            # What nearly every reply is, in line; `answers.whole` knows all the others.
            first = answers.first_line(reply.status, reply.reason)
            fields = reply.headers.fields
            end = b"content-length: %d\r\n\r\n%b" % (size, body)
            self.transport.write(b"\r\n".join([first, *[each[2] for each in fields], end]))
        else:
            if call.operation == "HEAD" or reply.status in answers.BODILESS:
                call.bytes_out = 0
            self.transport.write(answers.whole(reply, body, self._minor, call.operation, keep))
        self._done(keep, now)

    def _send_streamed(self, call: Call, reply: Reply) -> None:
        body = reply.body
        if not isinstance(body, ByteStream):
            raise TypeError(f"the body of a reply is bytes or a ByteStream, not {body!r:.100}")
        keep = self._keep and self.body is None and not self.adapter.closing
        length = body.length
        if call.operation == "HEAD" or reply.status in answers.BODILESS:
            body.cancel()
            self._send_whole(call, reply, b"", call.head_at)
            return
        if length is None:
            length = -1 if self._minor else -2
            keep = keep and length == -1
        head = answers.streamed(reply, self._minor, length, keep)
        self._keep = keep
        self._chunked = length == -1
        self._reply_body = body
        # A filter that waited may have set other limits than those that held when the call began.
        self.active_at = call.head_at
        self.deadline = min(self.deadline, self._next_look(call, call.head_at))
        self.transport.write(head)
        body.attach(self)
        if self._full and self._reply_body is body:
            body.pause()

    def _open_tunnel(self, call: Call, reply: Reply) -> None:
        # Late: http_tunnel needs this module's types, and few listeners ever see an upgrade.
        from twisted_mesh.adapters.http_tunnel import open_tunnel

        open_tunnel(self, call, reply)
        self.deadline = min(self.deadline, self._next_look(call, call.head_at))

    # --- the reply's body: a stream's receiver

    def body_data(self, data: bytes) -> None:
        call = self.call
        if call is None:
            return
        self.active_at = self.adapter.now()
        call.bytes_out += len(data)
        self.transport.write(encode_chunk(data) if self._chunked else data)

    def body_ended(self, trailers: Trailers) -> None:
        body = self._reply_body
        assert body is not None
        try:
            if body.length is not None and body.size != body.length:
                raise ValueError(f"the body of a reply was to have {body.length} bytes, and had {body.size}")
            end = encode_end(trailers) if self._chunked else b""
        except Exception as error:
            # A filter made it: the client must not take it for complete.
            assert self.call is not None
            self.adapter.filter_failed(self.call, error)
            self.body_failed(MeshError(Kind.INTERNAL, "a filter made a reply that cannot be sent"))
            return
        if end:
            self.transport.write(end)
        self._reply_body = None
        self._done(self._keep and self.body is None, self.adapter.now())

    def body_failed(self, error: BaseException) -> None:
        call = self.call
        self._reply_body = None
        if call is not None and isinstance(error, MeshError):
            call.flag(error.flag)
            call.details = call.details or error.detail
        self._cut_off()

    # --- the transport's producer: how fast the client takes the reply

    def pauseProducing(self) -> None:
        self._full = True
        if self._reply_body is not None:
            self._reply_body.pause()

    def resumeProducing(self) -> None:
        self._full = False
        self.active_at = self.adapter.now()
        if self._reply_body is not None:
            self._reply_body.resume()
        elif self.call is None and self._buffer:
            self._read_held()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` follows and does what is to be done."""

    # --- ends

    def _done(self, keep: bool, now: float) -> None:
        """The reply is out: end the call, and go on with the next request or close."""
        call, self.call = self.call, None
        if call is not None:
            call.complete(now, self.adapter.completion_failed)
        if not keep:
            self._end()
            return
        self.deadline = now + self.adapter.idle_timeout
        if self._buffer and not self._reading and not self._full:
            self._read_held()

    def _read_held(self) -> None:
        """Read what waited behind the last call."""
        data, self._buffer = self._buffer, b""
        self._read(data)
        if not self._half_closed or self._buffer or self._ending:
            return
        # No more comes: this was the last request, or a part of one.
        if self.call is None or self.body is not None:
            self.transport.loseConnection()
        else:
            self._keep = False

    def _complete(self, now: float) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.complete(now, self.adapter.completion_failed)

    def _end(self) -> None:
        """Close after the last reply, without destroying it: see LoopTransport.finish."""
        body, self.body = self.body, None
        # Ending already: the body was given up for what stood in it, and more of it may be under way.
        unread = self._ending or body is not None or bool(self._buffer)
        self._ending = True
        # How long the client may take from here on is for the transport to say.
        self.deadline = NEVER
        self._buffer = b""
        if body is not None:
            body.stream.cancel()
        finish = getattr(self.transport, "finish", None) if unread else None
        if finish is not None:
            finish()
        else:
            self.transport.loseConnection()

    def _cut_off(self) -> None:
        """End a reply that has begun and cannot be completed, so that the client sees that it is not complete."""
        self._ending = True
        body, self.body = self.body, None
        if body is not None:
            body.stream.cancel()
        self._complete(self.adapter.now())
        # A missing last chunk or missing bytes show the cut; where only the end of the connection says that the body
        # is complete, only a reset can.  It is used for all: it also stops a client that is still sending.
        self.transport.abortConnection()

    def _refuse(self, error: HttpError) -> None:
        """Answer bytes that are no request, and close; a call is made of it only for the log and the metrics."""
        if self._ending:
            return
        adapter = self.adapter
        call = adapter.refused_call(self.peer, self.peer_host, error, self.identity)
        reply = bad_request(error.status, error.text, call.id)
        self._ending = True
        self.deadline = NEVER
        body = reply.body
        assert isinstance(body, bytes)
        self.transport.write(answers.whole(reply, body, 1, "", False))
        call.bytes_out = len(body)
        now = adapter.now()
        call.head_at = now
        call.complete(now, adapter.completion_failed)
        self._buffer = b""
        finish = getattr(self.transport, "finish", self.transport.loseConnection)
        finish()


def _from_cancelled(call: Call, error: Cancelled) -> MeshError:
    """Return what a client is told of a call that was stopped from outside."""
    status = error.status
    if error.kind is Kind.DEADLINE:
        return deadline_passed(call)
    origin = Origin.CLIENT if error.kind in (Kind.CLIENT_GONE, Kind.REQUEST_TIMEOUT) else Origin.MESH
    if error.kind is Kind.STREAM_IDLE and call.received:
        # The request was complete, so it is the upstream that kept silent.
        status, origin = 504, Origin.UPSTREAM
    return MeshError(error.kind, error.detail, origin=origin, status=status)
