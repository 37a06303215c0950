"""One connection to a Redis server, shared by the commands of many clients.

Commands go out in the order in which they come and replies come back in that order, so that which reply is whose is
counted and nothing else.  What is written in one turn of the loop goes out in one write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Any, Optional

from twisted.internet.error import ConnectionDone

from twisted_mesh.call import out_of_time
from twisted_mesh.codec.resp import pack
from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR, PUSH
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.park import Parked
from twisted_mesh.policy.redis_errors import OK, verdict
from twisted_mesh.redis_call import PartOfReplies, Pending, RedisReply, Tally
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.upstream.connections import Portion
    from twisted_mesh.upstream.redis_pool import RedisPool

# Bytes of replies to one call that are kept until all of them are there; what is more is passed on as it comes.
KEPT_LIMIT = 256 * 1024
# Bytes for each reply from which on looking at the replies is cheaper than looking through the bytes.
_LARGE = 64
_ERRORS = (ERROR, BULK_ERROR)
# Bytes of a command from which on a copy costs more than a piece of its own.
_WORTH_A_PIECE = 16 * 1024
# Replies to single commands that one look at the clock serves, less one; a power of two less one.
_SOME = 15


class RedisServer:
    """One connection; a Twisted protocol.

    `queue` are the calls whose replies are to come, the oldest first; those in `unsent`, which are the last of them,
    have not been written yet, and are once it is `ready` and the turn of the loop ends (`scheduled`).  It may be given
    calls as soon as `connect` was called.

    :param portion: what its place is of, where connections are limited.
    """

    __slots__ = (
        "_heard_at",
        "_pool",
        "_reader",
        "_setup",
        "_transport",
        "commands",
        "db",
        "error",
        "held",
        "idle_since",
        "lost",
        "portion",
        "queue",
        "ready",
        "resp",
        "scheduled",
        "taken",
        "unsent",
    )

    def __init__(self, pool: RedisPool, db: int, resp: int, portion: Portion) -> None:
        self._pool = pool
        self.portion = portion
        self.db = db
        self.resp = resp
        self.queue: deque[Pending] = deque()
        # How many commands are in the queue.
        self.commands = 0
        self.lost = False
        # Why it ended.
        self.error: Optional[MeshError] = None
        # Whether a reply is being held back by a client that reads slowly.
        self.held = False
        # Whether one call has it for itself.
        self.taken = False
        self.idle_since = 0.0
        self._heard_at = 0.0
        self.unsent: list[Pending] = []
        self.scheduled = False
        self.ready = False
        # What the replies to come answer, before any call: (whether an error is fatal, what it was).
        self._setup: deque[tuple[bool, str]] = deque()
        self._transport: Any = None
        self._reader = ReplyReader(apart=True)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ready" if self.ready else "connecting"
        return f"<RedisServer {self._pool.endpoint.address} db {self.db} {state}, {self.commands} commands in flight>"

    # --- what the pool calls

    def connect(self) -> None:
        """Begin to connect; what is sent meanwhile waits."""
        pool = self._pool
        parked: Parked[None] = pool.connector.connect(pool.endpoint.target, self, pool.connect_timeout)
        if parked.done:
            self._connected(parked)
        else:
            parked.resume = lambda: self._connected(parked)

    def send(self, pending: Pending) -> None:
        """Send a call's commands, behind those that were sent before."""
        self.queue.append(pending)
        self.commands += pending.left
        if type(pending.body) is not bytes:
            pending.special = True
        self.unsent.append(pending)
        if not self.scheduled and self.ready:
            self.scheduled = True
            self._pool.soon(self.flush)

    def close(self) -> None:
        """End the connection; calls in flight fail."""
        self.fail(MeshError(Kind.CLOSED, f"{self._pool.endpoint.address}: the connection was closed"))

    # --- the connection

    def _connected(self, parked: Parked[None]) -> None:
        if parked.error is not None:
            error, parked.error = parked.error, None
            assert isinstance(error, MeshError)
            self._pool.not_connected(error)
            self._give_up(error)

    def makeConnection(self, transport: Any) -> None:
        """The connection is there: introduce ourselves."""
        self._transport = transport
        self._heard_at = self.idle_since = self._pool.now()
        self._pool.cells.connects.value += 1
        commands = self._pool.setup(self.db, self.resp)
        if not commands:
            self._begin()
            return
        self._setup.extend((fatal, words[0]) for words, fatal in commands)
        transport.write(b"".join([pack(words) for words, _ in commands]))

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
            self._heard_at = self._pool.now()
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
            _Upload(self, self._transport, body).begin()

    # --- replies

    def dataReceived(self, data: bytes) -> None:
        """Give each call its replies."""
        reader = self._reader
        answers: Optional[list[Answer]] = reader.feed(data)
        self._heard_at = self._pool.now()
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
                at = self._introduced(answers, data)
            if self.resp == 3:
                answers = [each for each in answers[at:] if each[0] != PUSH]
                at, count = 0, len(answers)
            self._hand_out(answers, at, data)
            if not self.queue:
                self.idle_since = self._heard_at
        if self.lost:
            return
        if reader.error is not None:
            detail = f"{self._pool.endpoint.address}: {reader.error.text}"
            self.fail(MeshError(Kind.BAD_REPLY, detail, origin=Origin.UPSTREAM))
        elif reader.unfinished is not None and reader.unfinished.kept and reader.unfinished.size > KEPT_LIMIT:
            self._stream_on(reader.release())

    def _hand_out(self, answers: list[Answer], at: int, data: bytes) -> None:
        """Give replies, from the place `at`, to those who wait for them."""
        count, size = len(answers), len(data)
        odd = count > at and _errors_among(answers, at, data)
        queue, pool, now = self.queue, self._pool, self._heard_at
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

    def _introduced(self, answers: list[Answer], data: bytes) -> int:
        """Take the replies to what was sent before any call; returns how many these were."""
        taken = 0
        for kind, start, end in answers:
            if not self._setup:
                break
            if kind == PUSH:
                taken += 1
                continue
            fatal, name = self._setup.popleft()
            taken += 1
            if kind == ERROR and fatal:
                said = data[start + 1 : end - 2].decode("utf-8", "replace")
                detail = f"{self._pool.endpoint.address}: {name} was refused: {said}"
                error = MeshError(Kind.CONNECT_FAILED, detail, origin=Origin.UPSTREAM, retryable=True)
                self._pool.not_connected(error)
                self.fail(error)
                return len(answers)
        if not self._setup:
            self._begin()
        return taken

    def _answered(self, answers: list[Answer], at: int, data: bytes, odd: bool) -> int:
        """Give the oldest call its replies, as far as they are here; returns the place behind them."""
        queue = self.queue
        if not queue:
            detail = f"{self._pool.endpoint.address}: a reply that nobody asked for"
            self.fail(MeshError(Kind.BAD_REPLY, detail, origin=Origin.UPSTREAM))
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
            if type(pending.body) is not bytes:
                self._after_upload(pending.body)
        return end

    def _after_upload(self, body: Any) -> None:
        """A large command has its reply: if that came before its end, nothing else can be sent here."""
        if not body.ended:
            detail = f"{self._pool.endpoint.address} answered before the command was complete"
            self.fail(MeshError(Kind.BAD_REPLY, detail, origin=Origin.UPSTREAM))

    def _fire(self, pending: Pending, body: bytes, answers: Optional[list[Answer]], start: int) -> None:
        if pending.had:
            body = b"".join([*pending.had, body])
            answers, start = ReplyReader(limit=len(body) + 1).feed(body), 0
        if answers is None:
            self._pool.ended(pending, None, self._heard_at)
        else:
            errors = [body[at - start : end - start] for kind, at, end in answers if kind == ERROR]
            self._pool.answered(pending, max(map(verdict, errors), default=OK), self._heard_at)
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
            stream = pending.stream = ByteStream(_Hold(self))
            stream.write(b"".join([*pending.had, piece]))
            pending.had = []
            pending.fire(RedisReply(stream, pending.call.count))
        reader = self._reader
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
        self._pool.ended(pending, None, self._heard_at)
        pending.stream.end()

    def pause(self, paused: bool) -> None:
        """A client reads a reply more slowly than it comes: hold the server back, and send nothing more here."""
        self.held = paused
        if self.lost:
            return
        if paused:
            self._transport.pauseProducing()
        else:
            self._heard_at = self._pool.now()
            self._transport.resumeProducing()

    # --- the end

    def connectionLost(self, reason: Any) -> None:
        """The server has closed, or the connection broke."""
        if not self.lost:
            kind, how = (
                (Kind.CLOSED, "closed the connection") if reason.check(ConnectionDone) else (Kind.RESET, "was lost")
            )
            self._give_up(MeshError(kind, f"{self._pool.endpoint.address} {how}", origin=Origin.UPSTREAM))

    def fail(self, error: MeshError) -> None:
        """End the connection for this reason."""
        if not self.lost:
            self._give_up(error)
            if self._transport is not None:
                self._transport.abortConnection()

    def _give_up(self, error: MeshError) -> None:
        self.lost = True
        self.error = error
        self._pool.lost(self)
        queue, self.queue = self.queue, deque()
        self.commands = 0
        inside = self._reader.unfinished is not None
        now = self._pool.now()
        for pending in queue:
            if not pending.void:
                mine = self._error_for(pending, error, inside)
                self._pool.ended(pending, error, now)
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
        silent = now - self._heard_at
        if self.queue and not self.held and not self.taken and self._transport and silent >= self._pool.silence:
            detail = f"{self._pool.endpoint.address}: no reply to anything for {silent:.1f} s"
            self.fail(MeshError(Kind.TIMEOUT, detail, origin=Origin.UPSTREAM))

    def _late(self, pending: Pending, now: float) -> None:
        """Nobody waits for it any longer; its replies are counted when they come, as others stand behind it."""
        error = out_of_time(pending.call)
        answered = pending.call.count - pending.left
        had, pending.had = pending.had, []
        pending.void = pending.special = True
        self._pool.ended(pending, error, now)
        pending.fail(PartOfReplies(error, b"".join(had), answered) if answered else error)


def _errors_among(answers: list[Answer], at: int, data: bytes) -> bool:
    """Whether any of the answers from `at` on may be an error."""
    count = len(answers) - at
    if count == 1:
        return answers[at][0] in _ERRORS
    if len(data) > _LARGE * count:
        return any(kind in _ERRORS for kind, _, _ in answers[at:])
    return answers[at][0] in _ERRORS or b"\r\n-" in data or b"\r\n!" in data


class _Upload:
    """Sends a large command while it comes; nothing else is sent on that connection before it has ended."""

    __slots__ = ("_body", "_server", "_transport")

    def __init__(self, server: RedisServer, transport: Any, body: ByteStream) -> None:
        self._server = server
        self._transport = transport
        self._body = body

    def begin(self) -> None:
        self._transport.registerProducer(self, True)
        self._body.attach(self)

    def body_data(self, data: bytes) -> None:
        self._transport.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        self._transport.unregisterProducer()

    def body_failed(self, error: BaseException) -> None:
        """The client went away inside of the command, or spoilt it: it can only be ended with the connection."""
        self._transport.unregisterProducer()
        if not isinstance(error, MeshError):
            error = MeshError(Kind.CLIENT_GONE, "the client went away inside of a command", origin=Origin.CLIENT)
        self._server.fail(error)

    def pauseProducing(self) -> None:
        self._body.pause()

    def resumeProducing(self) -> None:
        self._body.resume()

    def stopProducing(self) -> None:
        self._body.cancel()


class _Hold:
    """Holds a server back while the reader of a large reply cannot take more."""

    __slots__ = ("_server",)

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def pauseProducing(self) -> None:
        self._server.pause(True)

    def resumeProducing(self) -> None:
        self._server.pause(False)

    def stopProducing(self) -> None:
        if self._server.held:
            self._server.pause(False)
