"""One HTTP/1.1 connection to an endpoint: a call goes out over it, and it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.chunked import encode_chunk, encode_end
from twisted_mesh.codec.response import ResponseHead, ResponseReader
from twisted_mesh.codec.write import head as write_head
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.http_body import ReplyBody, Sending
from twisted_mesh.upstream.http_lost import StaleConnection
from twisted_mesh.upstream.http_request import METHODS, bring_up_to_date, end_of_empty, method

if TYPE_CHECKING:
    from twisted_mesh.upstream.pool import HttpPool


class HttpLink:
    """The half of a connection that sends, and the state of both."""

    __slots__ = (
        "_buffer",
        "_call",
        "_got",
        "_head",
        "_interims",
        "_keep",
        "_lost",
        "_parked",
        "_repeat",
        "_repeat_for",
        "_reply_body",
        "_sending",
        "_tunnel",
        "idle_since",
        "pool",
        "reader",
        "transport",
        "uses",
    )

    def __init__(self, pool: HttpPool, reader: ResponseReader) -> None:
        self.pool = pool
        self.reader = reader
        self.transport: Any = None
        self.uses = 0
        self.idle_since = 0.0
        self._call: Optional[Call] = None
        self._parked: Optional[Parked[Reply]] = None
        self._reply_body: Optional[ReplyBody] = None
        self._sending: Optional[Sending] = None
        self._tunnel: Any = None
        self._buffer: Optional[bytearray] = None
        self._got = False
        self._interims = 0
        self._keep = True
        self._lost = False
        # The head that was read last, the bytes that it was read from, and the method that it answers: servers send
        # the same head again and again, and to see that costs a twentieth of reading it.
        self._repeat = b""
        self._repeat_for = ""
        self._head: Optional[ResponseHead] = None

    def __repr__(self) -> str:
        state = "lost" if self._lost else "busy" if self._call is not None else "idle"
        return f"<{type(self).__name__} {self.pool.endpoint.address} {state} uses={self.uses}>"

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    # --- a call goes out

    def send(self, call: Call) -> Parked[Reply]:
        """Send the call; what this returns fires with the reply once its head is known.

        It fails with a `MeshError`: `StaleConnection`, `Kind.CLOSED`, `Kind.RESET` or `Kind.BAD_REPLY`.
        """
        parked: Parked[Reply] = Parked()
        if self._lost:
            parked.fail(StaleConnection(Kind.CLOSED, "the connection was closed", retryable=True))
            return parked
        if not call.plain and not self._up_to_date(call, parked):
            return parked
        self._call = call
        self._parked = parked
        self._got = False
        self._keep = True
        self.uses += 1
        operation = call.operation
        first = b"%b %b HTTP/1.1" % (METHODS.get(operation) or method(operation), call.target)
        body = call.body
        if type(body) is bytes:
            if body:
                self._send_whole(call, first, body)
            else:
                end = b"\r\n" if operation == "GET" and not call.upgrade else end_of_empty(call)
                # In line: nearly all calls pass here, and `write_head` is one expression.
                self.transport.write(b"\r\n".join([first, *[each[2] for each in call.headers.fields], end]))
        else:
            self._send_streamed(call, first, body)  # type: ignore[arg-type]
        return parked

    def _up_to_date(self, call: Call, parked: Parked[Reply]) -> bool:
        """Bring the head of the request up to date; returns whether anybody still waits for the reply."""
        try:
            bring_up_to_date(call, self.pool.endpoint.address, self.pool.now())
        except MeshError as error:
            # Nothing was sent, so the connection is as good as it was.
            self.pool.release(self)
            parked.fail(error)
            return False
        return True

    def _send_whole(self, call: Call, first: bytes, body: bytes) -> None:
        if call.operation in ("GET", "HEAD"):
            # Some servers leave such a body unread and take it for the next request on the connection.
            self._keep = False
        if call.trailers:
            end = b"transfer-encoding: chunked\r\n\r\n" + encode_chunk(body) + encode_end(call.trailers)
        else:
            end = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        self.transport.write(write_head(first, call.headers.fields, end))

    def _send_streamed(self, call: Call, first: bytes, body: ByteStream) -> None:
        if call.operation in ("GET", "HEAD"):
            self._keep = False
        if body.length is None:
            end = b"transfer-encoding: chunked\r\n\r\n"
        else:
            end = b"content-length: %d\r\n\r\n" % body.length
        self.transport.write(write_head(first, call.headers.fields, end))
        self._sending = sending = Sending(self, body)
        self.transport.registerProducer(sending, True)
        sending.start()

    def sent(self, sending: Sending) -> None:
        """The request body is out whole."""
        if self._sending is sending:
            self._sending = None
            self.transport.unregisterProducer()

    def cut(self, sending: Sending, error: BaseException) -> None:
        """The request body was cut: so must be the request, and nothing of it may look complete."""
        if self._sending is not sending:
            return
        if not isinstance(error, MeshError):
            error = MeshError(Kind.CLIENT_GONE, f"the request body was cut: {error}", origin=Origin.CLIENT)
        self._fail(error)

    # --- ends

    def abort(self) -> None:
        """Nobody waits for the reply any more: close, so that the server stops working on it."""
        self._parked = None
        self._fail(None)

    def close(self) -> None:
        """Close an idle connection."""
        self._keep = False
        self.transport.loseConnection()

    def _release(self) -> None:
        self._call = None
        self._interims = 0
        if self._keep and self._sending is None and not self._lost:
            self.pool.release(self)
            return
        # The rest of a request body is of no use to a server that has answered.
        self._drop()

    def _fail(self, error: Optional[MeshError]) -> None:
        """End the connection, and tell whoever waits for a reply why."""
        parked, self._parked = self._parked, None
        self._call = None
        body, self._reply_body = self._reply_body, None
        self._drop()
        if body is not None and error is not None:
            body.stream.fail(error)
        if parked is not None and error is not None:
            parked.fail(error)

    def _drop(self) -> None:
        """Close without ceremony: a cut request must look cut to the server."""
        self._stop_sending()
        if not self._lost:
            self._lost = True
            self.pool.lost(self)
            self.transport.abortConnection()

    def _stop_sending(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            self.transport.unregisterProducer()
            sending.stop()
