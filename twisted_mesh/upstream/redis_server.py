"""One connection to a Redis server, shared by the commands of many clients.

Commands go out in the order in which they come, and what is written in one turn of the loop goes out in one write.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.call import out_of_time
from twisted_mesh.codec.resp_kinds import PUSH
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_pending import PartOfReplies, Pending
from twisted_mesh.upstream.redis_flow import Upload
from twisted_mesh.upstream.redis_replies import Replies

if TYPE_CHECKING:
    from twisted_mesh.upstream.connections import Portion
    from twisted_mesh.upstream.redis_pool import RedisPool

# Bytes of replies to one call that are kept until all of them are there; what is more is passed on as it comes.
KEPT_LIMIT = 256 * 1024
# Bytes of a command from which on a copy costs more than a piece of its own.
_WORTH_A_PIECE = 16 * 1024


class RedisServer(Replies):
    """One connection; a Twisted protocol.

    Of the calls in its `queue` those in `unsent`, which are the last of them, have not been written yet, and are once
    it is `ready` and the turn of the loop ends (`scheduled`).  It may be given calls as soon as `connect` was called.

    :param portion: what its place is of, where connections are limited.
    """

    __slots__ = ("_doubted", "_upload", "error", "idle_since", "portion", "ready", "scheduled", "taken", "unsent")

    def __init__(self, pool: RedisPool, db: int, resp: int, portion: Portion) -> None:
        super().__init__(pool, db, resp)
        self.portion = portion
        # Why it ended.
        self.error: Optional[MeshError] = None
        # Whether one call has it for itself, and what sends that call's large command.
        self.taken = False
        self._upload: Optional[Upload] = None
        # Since when nobody waits for a reply; 0 before it is connected.
        self.idle_since = 0.0
        self.unsent: list[Pending] = []
        self.scheduled = False
        self.ready = False
        # Whether it has said nothing for too long, as it seemed at the last look.
        self._doubted = False

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ready" if self.ready else "connecting"
        return f"<RedisServer {self.pool.endpoint.address} db {self.db} {state}, {self.commands} commands in flight>"

    # --- what the pool calls

    def send(self, pending: Pending) -> None:
        """Send a call's commands, behind those that were sent before."""
        self.queue.append(pending)
        self.commands += pending.left
        if type(pending.body) is not bytes:
            pending.special = True
        self.unsent.append(pending)
        if not self.scheduled and self.ready:
            self.scheduled = True
            self.pool.soon(self.flush)

    def give_back(self) -> None:
        """The call that has it for itself has ended.

        If its command has not gone out to the last byte, what others send would become part of that.
        """
        upload, self._upload = self._upload, None
        self.taken = False
        if upload is None or not upload.done:
            detail = f"{self.pool.endpoint.address}: a command was not sent to its end"
            self.fail(MeshError(Kind.CLOSED, detail))

    def close(self) -> None:
        """End the connection; calls in flight fail."""
        self.fail(MeshError(Kind.CLOSED, f"{self.pool.endpoint.address}: the connection was closed"))

    # --- what goes out

    def makeConnection(self, transport: Any) -> None:
        """The connection is there."""
        self._heard_at = self.idle_since = self.pool.now()
        super().makeConnection(transport)

    def _begin(self) -> None:
        self.ready = True
        if self.unsent:
            self.flush()

    def flush(self) -> None:
        """Write what waits for that."""
        self.scheduled = False
        unsent = self.unsent
        if not unsent or self.lost:
            return
        self.unsent = []
        if len(self.queue) == len(unsent):
            # Nothing was awaited before, so silence counts from here.
            self._heard_at = self.pool.now()
        for each in unsent:
            each.sent = True
        if len(unsent) > 1:
            bodies: list[Any] = [each.body for each in unsent]
            if len(bodies[0]) < _WORTH_A_PIECE:
                self._transport.write(b"".join(bodies))
            else:
                self._transport.writeSequence(bodies)
            return
        body = unsent[0].body
        if isinstance(body, bytes):
            self._transport.write(body)
        else:
            upload = self._upload = Upload(self, self._transport, body)
            upload.begin()

    # --- what comes

    def dataReceived(self, data: bytes) -> None:
        """Give each call its replies."""
        reader = self._reader
        answers: Optional[list[Answer]] = reader.feed(data)
        self._heard_at = self.pool.now()
        if reader.through:
            self._stream_on(reader.through)
        while answers is not None and not self.lost:
            self._heard(answers)
            answers = reader.more()

    def _heard(self, answers: list[Answer]) -> None:
        reader = self._reader
        data = reader.data
        at, count = 0, len(answers)
        if count:
            if self._setup:
                at = self._greeted(answers, data)
            if self.resp == 3:
                answers = [each for each in answers[at:] if each[0] != PUSH]
                at, count = 0, len(answers)
            self._hand_out(answers, at, data)
            if not self.queue:
                self.idle_since = self._heard_at
        if self.lost:
            return
        if reader.error is not None:
            self.bad_reply(f": {reader.error.text}")
        elif reader.unfinished is not None and reader.unfinished.kept and reader.unfinished.size > KEPT_LIMIT:
            if self._setup or not self.queue:
                self.bad_reply(": a reply that nobody asked for")
            else:
                self._stream_on(reader.release())

    def _greeted(self, answers: list[Answer], data: bytes) -> int:
        """Take the replies to what was said first; returns how many these were."""
        taken = 0
        while taken < len(answers) and self._setup and not self.lost:
            kind, start, end = answers[taken]
            taken += 1
            self._introduced(kind, data[start:end])
        return taken

    # --- the end

    def _give_up(self, error: MeshError) -> None:
        self.lost = True
        self.error = error
        self.pool.lost(self)
        queue, self.queue = self.queue, deque()
        self.commands = 0
        inside = self._reader.unfinished is not None
        now = self.pool.now()
        for pending in queue:
            if not pending.void:
                mine = self._error_for(pending, error, inside)
                self.pool.ended(pending, error, now)
                if pending.stream is not None:
                    pending.stream.fail(mine)
                else:
                    pending.fail(mine)
            inside = False

    def _error_for(self, pending: Pending, error: MeshError, inside: bool) -> MeshError:
        retryable = error.retryable or not pending.sent or pending.call.idempotent
        mine = MeshError(error.kind, error.detail, origin=error.origin, retryable=retryable)
        mine.__cause__ = error.__cause__
        answered = pending.call.count - pending.left
        if pending.stream is not None:
            return PartOfReplies(mine, b"", answered, inside)
        return PartOfReplies(mine, b"".join(pending.had), answered) if answered else mine

    # --- time

    def look(self, now: float) -> None:
        """Fail what has waited for too long, and give up a server that says nothing at all."""
        late: list[Pending] = []
        for pending in self.queue:
            if pending.tally is not None and now - pending.began < pending.tally.timeout:
                continue
            call = pending.call
            if call.deadline is None and (not call.received or call.timeout is None):
                continue
            # Written out: there may be many.
            if call.deadline is None and now < call.received + call.timeout:  # type: ignore[operator]  # as above
                continue
            ends = call.ends
            if ends is not None and now >= ends and not pending.done:
                late.append(pending)
        for pending in late:
            # Who hears of one may send others, or be the end of the connection.
            if not pending.done:
                self._late(pending, now)
        if late and self.unwanted:
            self.fail(
                MeshError(Kind.TIMEOUT, f"{self.pool.endpoint.address}: a reply has no end", origin=Origin.UPSTREAM)
            )
            return
        silent = now - self._heard_at
        if silent < self.pool.silence or not self.queue or self.held or self.taken or not self._transport:
            self._doubted = False
        elif self.ready and len(self.queue) == len(self.unsent):
            # It has not been asked yet: silence counts from when that goes out.
            return
        elif not self._doubted:
            # If we have stood still ourselves, what it said meanwhile is read before the next look.
            self._doubted = True
        else:
            detail = f"{self.pool.endpoint.address}: no reply to anything for {silent:.1f} s"
            self.fail(MeshError(Kind.TIMEOUT, detail, origin=Origin.UPSTREAM))

    def _late(self, pending: Pending, now: float) -> None:
        """Nobody waits for it any longer; its replies are counted when they come, as others stand behind it."""
        error = out_of_time(pending.call)
        answered = pending.call.count - pending.left
        had, pending.had = pending.had, []
        pending.void = pending.special = True
        self.pool.ended(pending, error, now)
        pending.fail(PartOfReplies(error, b"".join(had), answered) if answered else error)
