"""One call of a Redis client and its place in the row of answers."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Optional, Sequence

from twisted_mesh.adapters.blame import filter_failed
from twisted_mesh.adapters.redis_rows import Row
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, clean_context
from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import PartOfReplies, Pending
from twisted_mesh.redis_words import words_for
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering


# Bytes of an answer that waits for others which count as one command more that waits.
_WORTH_A_COMMAND = 4096


class Ready:
    """An answer that waits for those before it; None as long as it is not known yet itself.

    `count` is what it counts for among the commands that wait: a client may not have any number of large ones wait.
    """

    __slots__ = ("answer", "count")

    coming: Optional[ByteStream] = None

    def __init__(self, answer: Optional[bytes]) -> None:
        self.answer = answer
        self.count = 1 if answer is None else 1 + len(answer) // _WORTH_A_COMMAND

    def leave(self, kind: Kind) -> None:
        """Nobody wants it any more."""


class Exchange(Pending):
    """A call, and what the client waits for.

    `answer` is what to write once all before it is written; None while it is not known.  Answers that are passed on as
    they come are `coming`.

    It is what the upstream fires, too: if no filter is in between it is `direct`, and acts without a detour.
    """

    __slots__ = (
        "again",
        "answer",
        "coming",
        "connection",
        "count",
        "direct",
        "driver",
        "pending",
        "row",
        "rows",
        "upload",
    )

    def __init__(
        self,
        connection: Answering,
        call: RedisCall,
        row: Row,
        rows: Optional[Sequence[Row]],
        upload: Optional[ByteStream] = None,
    ) -> None:
        # What Pending has.  Written out: made for every command.
        self.done = self.sent = self.special = self.void = self.direct = self.again = False
        self.resume = self.error = self.value = self.rescue = self.stream = None
        self.answer: Optional[bytes] = None
        self.call = call
        self.body = call.body
        self.tally = self.endpoint = None
        self.left = self.count = call.count
        self.had = []
        self.connection = connection
        # Of the first command, and of all of them if they are not the same.
        self.row = row
        self.rows = rows
        # What of others is waited for, where a filter does not return this one.
        self.pending: Optional[Pending] = None
        self.driver: Optional[Driver] = None
        self.coming: Optional[ByteStream] = None
        # The body of a command that is still coming.
        self.upload = upload

    def __repr__(self) -> str:
        state = "streams" if self.coming is not None else "waits" if self.answer is None else "answered"
        return f"<Exchange {state} {self.call!r}>"

    @property
    def large(self) -> bool:
        """Whether its value is passed on as it comes."""
        return type(self.call.body) is not bytes

    def begin(self) -> None:
        """Run the call through the chain."""
        call, adapter = self.call, self.connection.adapter
        call.waiter = self
        context = clean_context()
        try:
            awaitable: Any = context.run(adapter.chain, call)
        except (MeshError, Cancelled) as error:
            self._failed(error)
            return
        except Exception as error:
            self._broken(error)
            return
        if awaitable is self and not self.done:
            self.direct = True
        elif isinstance(awaitable, Pending):
            self.pending = awaitable
            if awaitable.done:
                self._fired()
            else:
                awaitable.resume = self._fired
        else:
            self.driver = driver = Driver(call, self._driven, context)
            adapter.calls.add(driver)
            driver.follow(awaitable)
            if self.driver is not None and not call.attempts:
                # A filter waits, and may not for those behind: nothing of a client is sent before what it sent first.
                call.held = self._sent
                self.connection.holds(self)

    def _sent(self) -> None:
        self.call.held = None
        self.connection.lets_go(self)

    def is_of(self, caller: Any) -> bool:
        """Whether this client waits for it."""
        return self.connection is caller

    # --- how it ends: what upstream calls

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.direct or super().wanted

    def whole(self, body: bytes, answers: Optional[Sequence[Answer]] = None, base: int = 0) -> None:
        """All replies are here."""
        if not self.direct:
            super().whole(body, answers, base)
            return
        self.done = True
        if answers is not None:
            self._count_errors(answers, body, base)
        call = self.call
        call.head_at = now = self.connection.adapter.now()
        call.bytes_out = len(body)
        self.answer = body
        self._end(now)

    def fire(self, value: RedisReply) -> None:
        """There is a reply."""
        if self.direct:
            self.done = True
            self._replied(value)
        else:
            super().fire(value)

    def fail(self, error: BaseException) -> None:
        """There is none, unless somebody takes care."""
        if not self.direct:
            super().fail(error)
            return
        rescue, self.rescue = self.rescue, None
        if rescue is None or not rescue(self, error):
            self.done = True
            self._raised(error)

    def _fired(self) -> None:
        """What a filter returned has its value."""
        pending, self.pending = self.pending, None
        assert pending is not None
        error, pending.error = pending.error, None
        if error is None:
            self._replied(pending.value)
        else:
            self._raised(error)

    def _driven(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        """The chain, which had to be stepped, has ended."""
        driver, self.driver = self.driver, None
        if driver is not None:
            self.connection.adapter.calls.discard(driver)
        if error is None:
            self._replied(reply)
        else:
            self._raised(error)

    # --- what is made of it

    def _replied(self, reply: Any) -> None:
        if not isinstance(reply, RedisReply):
            self._broken(TypeError(f"a filter returned {reply!r} in the place of the reply to a command"))
            return
        call = self.call
        call.head_at = now = self.connection.adapter.now()
        body = reply.body
        if isinstance(body, ByteStream):
            self.coming = body
            self.connection.streams(self)
            return
        if reply.sound_as is not body and call.session is None:
            try:
                reply.check(call.count)
            except ValueError as error:
                self._broken(error)
                return
        if reply.errors:
            self._count_errors(reply.answers, body, 0)
        self.answer = body
        call.bytes_out = len(body)
        self._end(now)

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, (MeshError, Cancelled)):
            self._failed(error)
        else:
            self._broken(error)

    def _failed(self, error: Any) -> None:
        call = self.call
        if isinstance(error, Cancelled) and error.kind is Kind.TIMEOUT and call.timeout is not None:
            # A filter had to be stepped, and the listener's sweep found that it took too long.
            error = MeshError(Kind.TIMEOUT, f"no reply within {call.timeout:g} s")
        call.flag(error.kind)
        call.details = call.details or error.detail or error.kind.value
        had, answered = b"", 0
        if isinstance(error, PartOfReplies):
            had, answered = error.had, error.answered
        self._refuse(words_for(error), had, answered)

    def _broken(self, error: BaseException) -> None:
        call = self.call
        filter_failed(self.connection.adapter.env, call, error)
        call.flag(Kind.INTERNAL)
        call.details = "a filter failed"
        self._refuse(words_for(MeshError(Kind.INTERNAL)), b"", 0)

    def _refuse(self, line: bytes, had: bytes, answered: int) -> None:
        call = self.call
        self.answer = had + line * (call.count - answered)
        call.bytes_out += len(self.answer)
        session = call.session
        if session is not None and session.multi:
            # The server has not queued it, and so does not know that the transaction must fail.
            session.spoilt = session.spoilt or "a command was refused"
        for each in (self.rows or (self.row,) * call.count)[answered:]:
            each.errors.value += 1
        self._end(self.connection.adapter.now())

    def _end(self, now: float) -> None:
        call, connection = self.call, self.connection
        seconds = now - call.started
        if self.rows is None:
            histogram, count = self.row.seconds, call.count
            histogram.counts[bisect_left(DURATIONS, seconds)] += count
            histogram.total += seconds * count
        else:
            for each in self.rows:
                each.seconds.observe(seconds)
        if self.upload is not None:
            self.upload.cancel()
        connection.answered(self)
        call.complete(now, connection.adapter.completion_failed)

    def _count_errors(self, answers: Sequence[Answer], body: bytes, base: int) -> None:
        """Count what is an error among the replies that stand in `body`, if `base` is taken away."""
        call = self.call
        for number, (kind, start, end) in enumerate(answers):
            if kind in (ERROR, BULK_ERROR):
                row = self.row if self.rows is None else self.rows[number]
                row.errors.value += 1
                call.errors += 1
                call.details = call.details or f"answered {_code(body[start - base : end - base])}"

    def leave(self, kind: Kind) -> None:
        """Nobody waits for the answer any more."""
        call = self.call
        if call.completed:
            return
        call.flag(kind)
        self.direct = False
        self.forget()
        if self.pending is not None:
            self.pending.forget()
            self.pending = None
        if self.upload is not None:
            self.upload.fail(Cancelled(kind))
        if self.coming is not None:
            self.coming.cancel()
        if self.driver is not None:
            self.connection.adapter.calls.cancel(self.driver, Cancelled(kind))
        else:
            call.complete(self.connection.adapter.now(), self.connection.adapter.completion_failed)

    # --- an answer that is passed on as it comes

    def body_data(self, data: bytes) -> None:
        """Pass on the next piece; this one is the first of the client's row."""
        self.call.bytes_out += len(data)
        self.connection.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        """All replies are there."""
        self.answer = b""
        self.connection.tell_rest()
        self._end(self.connection.adapter.now())

    def body_failed(self, error: BaseException) -> None:
        """The server was lost: the commands that had no reply get an error, unless one was cut in the middle."""
        call = self.call
        self.coming = None
        if isinstance(error, PartOfReplies) and not error.inside:
            self.connection.tell_rest()
            self._failed(error)
            return
        call.flag(error.kind if isinstance(error, (MeshError, Cancelled)) else Kind.INTERNAL)
        call.details = "the reply was cut"
        self.answer = b""
        self.connection.cut()
        self._end(self.connection.adapter.now())


class Silent(Exchange):
    """A call whose answer the client does not want to hear (CLIENT REPLY OFF and SKIP)."""

    __slots__ = ()

    def body_data(self, data: bytes) -> None:
        """Let it go."""

    def _end(self, now: float) -> None:
        self.answer = b""
        super()._end(now)


def _code(answer: bytes) -> str:
    """Return the first word of an error: the rest may hold what is nobody's business."""
    line = answer.split(b"\r\n", 2)[1 if answer.startswith(b"!") else 0].lstrip(b"-")
    return line.split(b" ", 1)[0][:64].decode("utf-8", "backslashreplace")
