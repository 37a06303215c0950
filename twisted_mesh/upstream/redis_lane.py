"""A connection to a Redis server that one client has for itself, and the few of these that an endpoint keeps.

Commands go out in their order and their replies come back in it; between them stands what nobody has asked for at that
moment: messages, confirmations of subscriptions, invalidations, what MONITOR shows.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Hashable, Optional

from twisted_mesh.call import out_of_time
from twisted_mesh.codec.resp import pack
from twisted_mesh.codec.resp_kinds import ARRAY, INTEGER, PUSH, SIMPLE
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.policy.redis_errors import verdict
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import PartOfReplies, Pending
from twisted_mesh.redis_session import SORTS, Session
from twisted_mesh.redis_words import MOVED_AWAY
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_link import RedisLink

if TYPE_CHECKING:
    from twisted_mesh.upstream.redis_lanes import LanePool

# What says of itself what it is: the first two texts of an array or a push.
_TOLD = re.compile(rb"[*>]\d+\r\n\$\d+\r\n([a-z]+)\r\n(?:\$(\d+)\r\n)?").match
_MOVED = (b"-MOVED ", b"-ASK ")
_MULTI = pack([b"MULTI"])
_WHO = pack([b"CLIENT", b"ID"])
# What of a reply is kept before it is passed on as it comes.
KEPT_LIMIT = 256 * 1024


class _Awaited:
    """Something that was sent, and what comes back for it.

    :param pending: what fires with the reply; None where nobody wants it.
    :param operation: of subscriptions, which are confirmed `need` times.
    :param quiet: another server's confirmations are those that the client sees.
    """

    __slots__ = ("need", "operation", "pending", "quiet")

    def __init__(self, pending: Optional[Pending], operation: str = "", need: int = 1, quiet: bool = False) -> None:
        self.pending = pending
        self.operation = operation
        self.need = need
        self.quiet = quiet


class RedisLane(RedisLink):
    """One connection; a Twisted protocol.  `multi`, `watching` and `sticky` are what was sent over it."""

    pool: LanePool

    def __init__(self, pool: LanePool, db: int, resp: int, now: float) -> None:
        super().__init__(pool, db, resp, ReplyReader())
        self.multi = False
        self.watching = False
        # Tracking, MONITOR: it is closed in the end.
        self.sticky = False
        self.monitoring = False
        self.idle_since = now
        # Who has it, and for which group of servers.
        self.session: Optional[Session] = None
        self.group: Hashable = None
        self.subscriptions: dict[str, set[bytes]] = {"channel": set(), "pattern": set(), "shard": set()}
        self._queue: deque[_Awaited] = deque()
        # A large reply on its way; and whether its reader, or the client, takes nothing at the moment.
        self._stream: Optional[ByteStream] = None
        self._slow = self._waits = False
        self._unsent: list[bytes] = []
        self._ready = False
        # Whether nobody has connected it yet.
        self.fresh = True
        # The reply behind which everything is what MONITOR shows.
        self._monitor: Optional[Pending] = None
        # Whether the server has said that it tracks, and the reply that says so next.
        self.tracking = False
        self._switch: Optional[Pending] = None
        # What the server calls this connection, and where it says so.
        self._number = 0
        self._asked: Optional[_Awaited] = None

    def __repr__(self) -> str:
        state = "lost" if self.lost else "ready" if self._ready else "connecting"
        return f"<RedisLane to {self.pool.endpoint.address} {state}, {len(self._queue)} replies to come>"

    @property
    def clean(self) -> bool:
        """Whether nothing that was sent over it still has an effect."""
        return not (self.lost or self._queue or self.multi or self.watching or self.sticky or self.listens)

    @property
    def listens(self) -> bool:
        """Whether a subscription is open on it."""
        return any(self.subscriptions.values())

    @property
    def streams(self) -> bool:
        """Whether a large reply is on its way."""
        return self._stream is not None

    # --- what sessions call

    def send(self, pending: Optional[Pending], data: bytes) -> None:
        """Send one command.

        :param pending: fires with its reply; None if nobody wants that.
        """
        self._queue.append(_Awaited(pending))
        self._write(data)

    def begin(self) -> None:
        """Begin a transaction, if none has begun."""
        if not self.multi:
            self.multi = True
            self.send(None, _MULTI)

    def identify(self) -> None:
        """Ask how the server calls this connection; behind what waits it could not be asked any more."""
        if self._asked is None:
            self.send(None, _WHO)
            self._asked = self._queue[-1]

    def unblock(self, how: bytes) -> Optional[Pending]:
        """Have the server end the waiting of what was sent last; it is answered with nothing, or an error.

        :param how: TIMEOUT or ERROR.
        :returns: what fires with the server's word: whether something did wait; None if nothing can have.
        :raises MeshError: the server cannot be asked.
        """
        if self.lost or not self._number or not self._queue:
            return None
        return self.pool.ask([b"CLIENT", b"UNBLOCK", b"%d" % self._number, how])

    def subscribe(self, pending: Pending, operation: str, data: bytes, need: int, quiet: bool) -> None:
        """Send what opens or closes subscriptions, which is confirmed `need` times; the client is told each of them.

        `pending` fires with an empty reply behind the last.
        """
        self._queue.append(_Awaited(pending, operation, need, quiet))
        self._write(data)

    def hold(self, waiting: bool) -> None:
        """The client takes nothing at the moment, or takes it again."""
        self._waits = waiting
        self._flow()

    def _flow(self) -> None:
        if self._transport is not None and not self.lost:
            if self._waits or self._slow:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    def monitors_after(self, pending: Pending) -> None:
        """What comes behind this reply, if it is no error, is what MONITOR shows."""
        self._monitor = pending

    def tracks_after(self, pending: Pending) -> None:
        """With this reply, if it is no error, tracking is what its session takes it for; else what it was."""
        self.sticky = True
        self._switch = pending

    def give_back(self) -> None:
        """The session needs it no more, and it is clean."""
        # Its client may not have taken the last reply yet; the next one must not wait for that.
        self.hold(False)
        self.session = None
        self.pool.give_back(self)

    def end(self) -> None:
        """Close it; what waits for an answer gets none."""
        self.session = None
        gone = MeshError(Kind.CLIENT_GONE, "the client does not wait any more", origin=Origin.CLIENT)
        for each in self._queue:
            if each.pending is not None:
                self.pool.ended(each.pending, gone)
                each.pending = None
        self.fail(MeshError(Kind.CLOSED, "the client's own connection was closed"))

    def _write(self, data: bytes) -> None:
        if self._ready:
            self._transport.write(data)
        else:
            self._unsent.append(data)

    # --- the connection

    def _begin(self) -> None:
        self._ready = True
        unsent, self._unsent = self._unsent, []
        if unsent:
            self._transport.write(b"".join(unsent))

    def dataReceived(self, data: bytes) -> None:
        """Tell replies and what stands between them apart."""
        reader = self._reader
        answers = reader.feed(data)
        data = reader.data
        if reader.through:
            self._stream_on(reader.through)
        for kind, start, end in answers:
            if self.lost:
                return
            self._heard(kind, data[start:end])
        if self.lost:
            return
        if reader.error is not None:
            self.bad_reply(f": {reader.error.text}")
        elif reader.unfinished is not None and reader.unfinished.size > KEPT_LIMIT and self._may_stream():
            self._stream_on(reader.release())

    def _may_stream(self) -> bool:
        """Whether what has begun is kept, and is the reply to a command: messages are told when they are whole."""
        reply = self._reader.unfinished
        assert reply is not None
        if not reply.kept or self._setup or not self._queue or self._queue[0].operation:
            return False
        message = reply.kind == PUSH or (self.resp == 2 and reply.kind == ARRAY and self.listens)
        return not message and self._queue[0].pending is not None

    def _stream_on(self, piece: bytes) -> None:
        """Pass on a piece of a large reply."""
        stream, reader = self._stream, self._reader
        pending = self._queue[0].pending
        if stream is None:
            assert pending is not None
            stream = self._stream = ByteStream(self)
            stream.write(piece)
            pending.fire(RedisReply(stream))
        else:
            stream.write(piece)
        if reader.through and not self.lost and (reader.unfinished is None or reader.unfinished.kept):
            # It has ended, and is none of the answers that are found.
            self._stream = None
            self._queue.popleft()
            if pending is not None:
                self.pool.ended(pending, None)
            if self._slow:
                self.resumeProducing()
            stream.end()

    # --- the producer of a large reply

    def pauseProducing(self) -> None:
        """Its reader cannot take more."""
        self._slow = True
        self._flow()

    def resumeProducing(self) -> None:
        """It can."""
        self._slow = False
        self._flow()

    def stopProducing(self) -> None:
        """Nobody wants the rest, and nothing can come before it."""
        self.fail(MeshError(Kind.CLOSED, "nobody wanted the rest of a reply"))

    def _heard(self, kind: int, text: bytes) -> None:
        if self._setup:
            self._introduced(kind, text)
            return
        expected = self._queue[0] if self._queue else None
        # In RESP3 only a push is told; an array is a reply, whatever stands in it.
        if kind == PUSH or (
            self.resp == 2 and kind == ARRAY and (self.listens or (expected is not None and expected.operation))
        ):
            told = _TOLD(text)
            word = told[1].decode().upper() if told is not None else ""
            if word in SORTS:
                assert told is not None
                name = None if told[2] is None else text[told.end() : told.end() + int(told[2])]
                self._confirmed(word, name)
                return
            if kind == PUSH or word.endswith("MESSAGE"):
                self._tell(text)
                return
        if expected is None or (self.monitoring and kind == SIMPLE):
            if self.monitoring and kind == SIMPLE:
                self._tell(text)
            else:
                self.bad_reply(": a reply that nobody asked for")
            return
        self._queue.popleft()
        if expected.pending is not None:
            if text.startswith(_MOVED):
                self.pool.moved()
                text = MOVED_AWAY
            self._fire(expected.pending, text)
        elif expected is self._asked and kind == INTEGER:
            self._number = int(text[1:-2])

    def _tell(self, text: bytes) -> None:
        if self.session is not None:
            self.session.tell(text)

    def _confirmed(self, operation: str, name: Optional[bytes]) -> None:
        """A subscription is open, or closed."""
        names = self.subscriptions[SORTS[operation]]
        if operation.startswith(("UN", "PUN", "SUN")):
            names.discard(name or b"")
        elif name is not None:
            names.add(name)
        awaited = self._queue[0] if self._queue and self._queue[0].operation == operation else None
        session = self.session
        if session is not None and (awaited is None or not awaited.quiet):
            # Nobody has asked for it where a server has given a channel away.
            session.tell(session.confirm(operation, name, self.resp))
        if awaited is not None:
            awaited.need -= 1
            if awaited.need <= 0:
                self._queue.popleft()
                if awaited.pending is not None:
                    self._fire(awaited.pending, b"")

    def _fire(self, pending: Pending, text: bytes) -> None:
        self.pool.ended(pending, None, verdict(text))
        if pending is self._monitor:
            self.monitoring = text.startswith(b"+")
        if pending is self._switch and self.session is not None:
            if text.startswith(b"+"):
                self.tracking = self.session.tracking
            else:
                self.session.tracking = self.tracking
                self.sticky = self.tracking or self.monitoring
        pending.fire(RedisReply(text, errors=int(text[:1] in (b"-", b"!"))))

    # --- the end

    def _give_up(self, error: MeshError) -> None:
        self.lost = True
        was_ready = self._ready
        self.pool.lost(self)
        session, self.session = self.session, None
        if session is not None:
            # First, as what fails below may be tried again on another one.
            session.lane_lost(self, error.detail if was_ready else "")
        queue, self._queue = self._queue, deque()
        stream, self._stream = self._stream, None
        if stream is not None and queue:
            cut = queue.popleft().pending
            if cut is not None:
                self.pool.ended(cut, error)
            stream.fail(PartOfReplies(MeshError(error.kind, error.detail, origin=error.origin), b"", 0, inside=True))
        for awaited in queue:
            pending = awaited.pending
            if pending is None:
                continue
            mine = MeshError(error.kind, error.detail, origin=error.origin, retryable=error.retryable and not was_ready)
            self.pool.ended(pending, mine)
            pending.fail(mine)

    def look(self, now: float) -> None:
        """Give up a server that has not answered within the time of the command that waits."""
        # What is on its way is for the client to look at.
        pending = self._queue[0].pending if self._queue and self._stream is None else None
        ends = None if pending is None else pending.call.ends
        if pending is not None and ends is not None and now >= ends:
            self.fail(out_of_time(pending.call))
