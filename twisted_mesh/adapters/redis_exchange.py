"""One call of a Redis client and its place in the row of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence

from twisted_mesh.adapters.blame import filter_failed
from twisted_mesh.adapters.redis_rows import Row
from twisted_mesh.adapters.redis_words import words_for
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, clean_context
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.redis_call import PartOfReplies, Pending, RedisCall, RedisReply
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_connection import RedisConnection


class Exchange:
    """What a client waits for: a call, or (with none) an answer that is known already.

    `answer` is what to write once all before it is written; None while it is not known.  Answers that are passed on as
    they come have a `stream`.
    """

    __slots__ = ("answer", "call", "connection", "driver", "pending", "row", "rows", "stream", "upload")

    def __init__(
        self, connection: RedisConnection, call: Optional[RedisCall], row: Optional[Row], rows: Optional[Sequence[Row]]
    ) -> None:
        self.connection = connection
        self.call = call
        # Of the first command, and of all of them if they are not the same.
        self.row = row
        self.rows = rows
        self.answer: Optional[bytes] = None
        self.pending: Optional[Pending] = None
        self.driver: Optional[Driver] = None
        self.stream: Optional[ByteStream] = None
        # The body of a command that is still coming.
        self.upload: Optional[ByteStream] = None

    def __repr__(self) -> str:
        state = "streams" if self.stream is not None else "waits" if self.answer is None else "answered"
        return f"<Exchange {state} {self.call!r}>"

    def begin(self) -> None:
        """Run the call through the chain."""
        call = self.call
        assert call is not None
        adapter = self.connection.adapter
        context = clean_context()
        try:
            awaitable: Any = context.run(adapter.chain, call)
        except (MeshError, Cancelled) as error:
            self._failed(error)
            return
        except Exception as error:
            self._broken(error)
            return
        if type(awaitable) is Pending:
            self.pending = awaitable
            if awaitable.done:
                self._fired()
            else:
                awaitable.resume = self._fired
            return
        self.driver = driver = Driver(call, self._driven, context)
        adapter.calls.add(driver)
        driver.follow(awaitable)

    # --- how it ends

    def _fired(self) -> None:
        """The upstream has answered, or failed."""
        pending, self.pending = self.pending, None
        assert pending is not None
        error, pending.error = pending.error, None
        if error is None:
            self._replied(pending.value)
        elif isinstance(error, (MeshError, Cancelled)):
            self._failed(error)
        else:
            self._broken(error)

    def _driven(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        driver, self.driver = self.driver, None
        if driver is not None:
            self.connection.adapter.calls.discard(driver)
        if error is None:
            self._replied(reply)
        elif isinstance(error, (MeshError, Cancelled)):
            self._failed(error)
        else:
            self._broken(error)

    def _replied(self, reply: Any) -> None:
        call = self.call
        assert call is not None
        if not isinstance(reply, RedisReply):
            self._broken(TypeError(f"a filter returned {reply!r} in the place of the reply to a command"))
            return
        call.head_at = now = self.connection.adapter.now()
        if reply.errors:
            self._count_errors(reply)
        body = reply.body
        if isinstance(body, ByteStream):
            self.stream = body
            self.connection.streams(self)
            return
        self.answer = body
        call.bytes_out = len(body)
        self._end(now)

    def _failed(self, error: Any) -> None:
        call = self.call
        assert call is not None
        call.flag(error.kind)
        call.details = call.details or error.detail or error.kind.value
        had, answered = b"", 0
        if isinstance(error, PartOfReplies):
            had, answered = error.had, error.answered
        self._refuse(words_for(error), had, answered)

    def _broken(self, error: BaseException) -> None:
        call = self.call
        assert call is not None
        filter_failed(self.connection.adapter.env, call, error)
        call.flag(Kind.INTERNAL)
        call.details = "a filter failed"
        self._refuse(words_for(MeshError(Kind.INTERNAL)), b"", 0)

    def _refuse(self, line: bytes, had: bytes, answered: int) -> None:
        call = self.call
        assert call is not None
        self.answer = had + line * (call.count - answered)
        call.bytes_out += len(self.answer)
        for each in (self.rows or (self.row,) * call.count)[answered:]:
            assert each is not None
            each.errors.value += 1
        self._end(self.connection.adapter.now())

    def _end(self, now: float) -> None:
        call, row = self.call, self.row
        assert call is not None
        assert row is not None
        seconds = now - call.started
        if self.rows is None:
            row.seconds.observe(seconds, call.count)
        else:
            for each in self.rows:
                each.seconds.observe(seconds)
        if self.upload is not None:
            self.upload.cancel()
        self.connection.answered(self)
        call.complete(now, self.connection.adapter.completion_failed)

    def _count_errors(self, reply: RedisReply) -> None:
        if self.rows is None:
            assert self.row is not None
            self.row.errors.value += reply.errors
        elif isinstance(reply.body, bytes):
            for row, (kind, _, _) in zip(self.rows, reply.answers):
                row.errors.value += kind in b"-!"

    def cancel(self, kind: Kind) -> None:
        """Nobody waits for the answer any more."""
        call = self.call
        if call is None or call.completed:
            return
        call.flag(kind)
        if self.pending is not None:
            self.pending.resume = None
            self.pending = None
        if self.upload is not None:
            self.upload.fail(Cancelled(kind))
        if self.stream is not None:
            self.stream.cancel()
        if self.driver is not None:
            self.connection.adapter.calls.cancel(self.driver, Cancelled(kind))
            return
        call.complete(self.connection.adapter.now(), self.connection.adapter.completion_failed)

    # --- an answer that is passed on as it comes

    def body_data(self, data: bytes) -> None:
        """Pass on the next piece; this one is the first of the client's row."""
        assert self.call is not None
        self.call.bytes_out += len(data)
        self.connection.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        """All replies are there."""
        self.answer = b""
        self._end(self.connection.adapter.now())

    def body_failed(self, error: BaseException) -> None:
        """The server was lost: the commands that had no reply get an error, unless one was cut in the middle."""
        call = self.call
        assert call is not None
        self.stream = None
        if isinstance(error, PartOfReplies) and not error.inside:
            self._failed(error)
            return
        call.flag(error.kind if isinstance(error, (MeshError, Cancelled)) else Kind.INTERNAL)
        call.details = "the reply was cut"
        self.answer = b""
        self.connection.cut()
        self._end(self.connection.adapter.now())
