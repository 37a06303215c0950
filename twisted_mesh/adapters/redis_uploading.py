"""Commands with large values, which are passed on while they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.adapters.redis_answering import ITS_TURN, ITS_VALUE, Value
from twisted_mesh.adapters.redis_calling import Calling
from twisted_mesh.adapters.redis_rows import BATCHED
from twisted_mesh.codec.resp_request import RequestReader, UnfinishedRequest
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter

# Bytes of one command that are kept before its value is passed on as it comes.
KEPT_LIMIT = 256 * 1024


class Uploading(Calling):
    """The side of a client's connection that reads a value of which only the beginning is here."""

    __slots__ = ("_reader", "_value")

    def __init__(self, adapter: RedisAdapter, number: int, peer: str, client: str, soon: Any) -> None:
        super().__init__(adapter, number, peer, client, soon)
        self._reader = RequestReader()
        # The command that is passed on as it comes.
        self._value: Optional[UnfinishedRequest] = None

    def _begin_uploading(self) -> None:
        """Pass on a command whose value has not come to its end, if it is clear where it goes."""
        unfinished = self._reader.unfinished
        assert unfinished is not None
        name, key = unfinished.name, unfinished.key
        if self.adapter.pause is not None:
            # It can be passed on later, if no more of it has to be kept.
            self._stand(ITS_TURN)
            return
        if name is None or key is None or self.binding is not None:
            return
        row = self.adapter.rows.find(name)
        if row is None or row.code not in BATCHED or not row.command.fits(unfinished.words):
            return
        if self.guard is not None and self.guard.refuses_large(row.command, key):
            # It is refused once it is whole, unless what stands behind the value allows it.
            return
        self.active_at = self.adapter.now()
        row.calls.value += 1
        body = ByteStream(Value(self))
        found: Found = (name, key, unfinished.words, 0, 0)
        call = RedisCall(self.adapter.name, row.command, (found,), b"", body)
        call.key = key
        call.write = row.command.write
        body.write(self._reader.release())
        self._value = unfinished
        call.bytes_in = body.size
        self._upload = self._begin(call, row, None, body)
        self._moves()

    def _go_on_uploading(self) -> None:
        exchange, reader = self._upload, self._reader
        assert exchange is not None
        call, body = exchange.call, exchange.upload
        if reader.through and body is not None:
            call.bytes_in += len(reader.through)
            body.write(reader.through)
        whole = self._value is not None and self._value.done
        if not whole and reader.error is None:
            return
        self._upload = exchange.upload = self._value = None
        self.go_on(ITS_VALUE)
        if body is None or body.closed:
            return
        if whole:
            call.received = self.adapter.now()
            body.end()
        else:
            # What the server has of it cannot be ended in another way.
            body.fail(MeshError(Kind.BAD_REQUEST, "a protocol error", origin=Origin.CLIENT))
