"""The replies that come over one connection, and who waits for them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Optional

from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.policy.redis_errors import OK, verdict
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import Pending, Tally
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_flow import Hold
from twisted_mesh.upstream.redis_link import RedisLink

if TYPE_CHECKING:
    from twisted_mesh.upstream.redis_pool import RedisPool

# Bytes for each reply from which on looking at the replies is cheaper than looking through the bytes.
_LARGE = 64
_ERRORS = (ERROR, BULK_ERROR)
# Replies to single commands that one look at the clock serves, less one; a power of two less one.
_SOME = 15


class Replies(RedisLink):
    """The side of a shared connection that reads.

    `queue` are the calls whose replies are to come, the oldest first, and `commands` is how many commands these are.
    Replies come in that order, so that which is whose is counted and nothing else.
    """

    __slots__ = ("_heard_at", "commands", "held", "queue")

    pool: RedisPool

    def __init__(self, pool: RedisPool, db: int, resp: int) -> None:
        super().__init__(pool, db, resp, ReplyReader(apart=True))
        self.queue: deque[Pending] = deque()
        self.commands = 0
        # Whether a reply is being held back by a client that reads slowly.
        self.held = False
        # When the server last said something, or was first asked after all was answered.
        self._heard_at = 0.0

    def _hand_out(self, answers: list[Answer], at: int, data: bytes) -> None:
        """Give replies, from the place `at`, to those who wait for them."""
        count, size = len(answers), len(data)
        odd = count > at and _errors_among(answers, at, data)
        queue, pool, now = self.queue, self.pool, self._heard_at
        tallies: list[Tally] = []
        try:
            while at < count and not self.lost:
                pending = queue[0] if queue else None
                if pending is None or pending.left != 1 or pending.special:
                    at = self._answered(answers, at, data, odd)
                    continue
                # One command, and one reply: what is nearly always the case without pipelining.
                queue.popleft()
                self.commands -= 1
                _, start, stop = answers[at]
                at += 1
                body = data if stop - start == size else data[start:stop]
                tally = pending.tally
                if tally is not None:
                    if not at & _SOME:
                        now = pool.now()
                    seconds = now - pending.began
                    if not odd and seconds < tally.slow:
                        if not tally.count:
                            tallies.append(tally)
                        tally.count += 1
                        tally.counts[bisect_left(DURATIONS, seconds)] += 1
                        tally.seconds += seconds
                        tally.received += len(pending.body)  # type: ignore[arg-type]  # it does not stream
                        tally.sent += stop - start
                        pending.heard(body)
                        continue
                if odd:
                    pool.answered(pending, verdict(body), self._heard_at)
                    pending.whole(body, answers[at - 1 : at], start)
                    continue
                pool.ended(pending, None, self._heard_at)
                pending.whole(body, None, start)
        finally:
            for tally in tallies:
                pool.settled(tally.count)
                tally.settle()

    def _answered(self, answers: list[Answer], at: int, data: bytes, odd: bool) -> int:
        """Give the oldest call its replies, as far as they are here; returns the place behind them."""
        queue = self.queue
        if not queue:
            self.bad_reply(": a reply that nobody asked for")
            return len(answers)
        pending = queue[0]
        end = min(at + pending.left, len(answers))
        here = end - at
        start, stop = answers[at][1], answers[end - 1][2]
        body = data if stop - start == len(data) else data[start:stop]
        pending.left -= here
        self.commands -= here
        if pending.stream is not None:
            pending.stream.write(body)
        elif pending.left and not pending.void:
            pending.had.append(body)
            pending.special = True
        if not pending.left:
            queue.popleft()
            if pending.stream is not None:
                self._end_of(pending)
            elif not pending.void:
                self._fire(pending, body, answers[at:end] if odd else None, start)
            if isinstance(pending.body, ByteStream) and not pending.body.ended:
                # Nothing else can be sent here.
                self.bad_reply(" answered before the command was complete")
        return end

    def _fire(self, pending: Pending, body: bytes, answers: Optional[list[Answer]], start: int) -> None:
        if pending.had:
            body = b"".join([*pending.had, body])
            answers, start = ReplyReader(limit=len(body) + 1).feed(body), 0
        if answers is None:
            self.pool.ended(pending, None, self._heard_at)
        else:
            errors = [body[at - start : end - start] for kind, at, end in answers if kind == ERROR]
            self.pool.answered(pending, max(map(verdict, errors), default=OK), self._heard_at)
        pending.whole(body, answers, start)

    # --- what is large

    def _stream_on(self, piece: bytes) -> None:
        """Pass on a piece of a reply that is not kept whole."""
        pending = self.queue[0]
        stream = pending.stream
        if stream is not None:
            stream.write(piece)
        elif not pending.void:
            pending.special = True
            stream = pending.stream = ByteStream(Hold(self))
            stream.write(b"".join([*pending.had, piece]))
            pending.had = []
            pending.fire(RedisReply(stream, pending.call.count))
        reader = self._reader
        if self.lost:
            # Whoever it was passed on to wanted no more of it.
            return
        if reader.through and (reader.unfinished is None or reader.unfinished.kept):
            # It has ended, and is none of the answers that are found; another one may have begun behind it.
            pending.left -= 1
            self.commands -= 1
            if not pending.left:
                self.queue.popleft()
                if stream is not None:
                    self._end_of(pending)

    def _end_of(self, pending: Pending) -> None:
        """The replies that were passed on as they came are all there."""
        if self.held:
            self.pause(False)
        self.pool.ended(pending, None, self._heard_at)
        pending.stream.end()

    def abandoned(self) -> None:
        """Nobody wants the rest of a large reply, which may be long or without an end.

        Until then nothing more is sent here, and the connection ends where nobody waits for anything behind it.
        """
        if self.held:
            self.pause(False)
        self.held = True
        if self.unwanted:
            gone = MeshError(Kind.CLIENT_GONE, "nobody wanted the rest of a reply", origin=Origin.CLIENT)
            self.fail(gone)

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for what comes, and it has begun to."""
        if not self.queue or self.queue[0].stream is None:
            return False
        return all(each.void or (each.stream is not None and each.stream.cancelled) for each in self.queue)

    def pause(self, paused: bool) -> None:
        """A client reads a reply more slowly than it comes: hold the server back, and send nothing more here."""
        self.held = paused
        if self.lost:
            return
        if paused:
            self._transport.pauseProducing()
        else:
            self._heard_at = self.pool.now()
            self._transport.resumeProducing()


def _errors_among(answers: list[Answer], at: int, data: bytes) -> bool:
    """Whether any of the answers from `at` on may be an error."""
    count = len(answers) - at
    if count == 1:
        return answers[at][0] in _ERRORS
    if len(data) > _LARGE * count:
        return any(kind in _ERRORS for kind, _, _ in answers[at:])
    return answers[at][0] in _ERRORS or b"\r\n-" in data or b"\r\n!" in data
