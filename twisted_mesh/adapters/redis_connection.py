"""One client of a Redis listener: its commands become calls, and its answers leave in order."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from twisted_mesh.adapters.redis_auth import guard_for
from twisted_mesh.adapters.redis_binding import Binding, Mute, Turn
from twisted_mesh.adapters.redis_exchange import Exchange, Ready, Silent
from twisted_mesh.adapters.redis_local import answer_locally
from twisted_mesh.adapters.redis_rows import BATCHED, LOCAL, REFUSED, WRITE, Row
from twisted_mesh.adapters.redis_words import refused, unknown_command, unknown_subcommand, wrong_arity
from twisted_mesh.codec.resp import RespError, error
from twisted_mesh.codec.resp_request import Found, RequestReader, arguments
from twisted_mesh.errors import Kind
from twisted_mesh.policy.acl import DEFAULT
from twisted_mesh.redis_call import VERSIONS, RedisCall
from twisted_mesh.redis_session import Session
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter

# Commands, and bytes of them, that travel as one call.
BATCH_COUNT = 64
BATCH_BYTES = 64 * 1024
# What of one command is kept before its value is passed on as it comes.
KEPT_LIMIT = 256 * 1024
# Why a client is not read.
_ITS_ANSWERS, _ITS_COMMANDS, _ITS_VALUE, _ITS_TURN = 1, 2, 4, 8


@implementer(IHalfCloseableProtocol)
class RedisConnection:
    """A client; a Twisted protocol.

    `db`, `resp` and `name` are what it has said of itself.  `queue` are the answers that it waits for, in order.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_eof",
        "_flushing",
        "_in_flight",
        "_out",
        "_reader",
        "_repeating",
        "_still",
        "_stood",
        "_transport",
        "_unbegun",
        "_upload",
        "active_at",
        "adapter",
        "binding",
        "client",
        "db",
        "facts",
        "gone",
        "guard",
        "id",
        "last",
        "made_at",
        "mute",
        "name",
        "peer",
        "queue",
        "resp",
        "soon",
    )

    def __init__(self, adapter: RedisAdapter, number: int, peer: str, client: str, soon: Any) -> None:
        self.adapter = adapter
        self.id = number
        self.peer = peer
        self.client = client
        self.soon = soon
        self.queue: deque[Union[Exchange, Ready]] = deque()
        self.gone = False
        # What stands between it and its commands, where the listener has users.
        self.guard = guard_for(adapter.users)
        # Its transaction, its subscriptions, and the like; None as long as it has none.
        self.binding: Optional[Binding] = None
        # Whether it wants to hear no answers.
        self.mute = Mute.NO
        # Commands that wait until those before them are answered.
        self._backlog: list[tuple[Sequence[Found], bytes]] = []
        self.made_at = self.active_at = adapter.now()
        self.reset()
        # What its library has said of itself; most say the same.
        self.facts: dict[bytes, bytes] = {}
        self._reader = RequestReader()
        self._transport: Any = None
        # What is to be written in this turn of the loop.
        self._out: list[bytes] = []
        self._flushing = False
        # Whether it is closed once everything is answered; whether it sends no more.
        self._closing = False
        self._eof = False
        # Commands that wait for their answers.
        self._in_flight = 0
        # Calls that are tried again; and those behind them, which wait for that.
        self._repeating = 0
        self._unbegun: list[Exchange] = []
        # Why it is not read: bits.
        self._still = 0
        # How much of a large reply the client had not taken, and since when that is so.
        self._stood = (-1, 0.0)
        self._upload: Optional[Exchange] = None

    def __repr__(self) -> str:
        return f"<RedisConnection {self.id} from {self.peer}, {self._in_flight} commands in flight>"

    def reset(self) -> None:
        """Be as a client that has just connected."""
        self.db = 0
        self.resp = 2
        self.name = b""
        if self.guard is not None:
            self.guard.forget()
        self.last = "NULL"

    @property
    def user(self) -> str:
        """Who it has logged in as."""
        known = None if self.guard is None else self.guard.user
        return DEFAULT if known is None else known.name

    @property
    def call_id(self) -> str:
        """The id of its calls."""
        return f"{self.adapter.ids}{self.id}"

    @property
    def here(self) -> str:
        """Where it has connected to, for people."""
        address = self._transport.getHost() if self._transport is not None else None
        host, port = getattr(address, "host", None), getattr(address, "port", None)
        return "unix:" if host is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def descriptor(self) -> int:
        """The number of its socket; -1 where there is none."""
        sock = getattr(self._transport, "sock", None)
        return -1 if sock is None else int(sock.fileno())

    @property
    def busy(self) -> bool:
        """Whether it waits for an answer."""
        return bool(self.queue)

    # --- what comes

    def makeConnection(self, transport: Any) -> None:
        """The client has connected."""
        self._transport = transport
        # A client that has vanished says nothing: the kernel finds out, as it does for a server.
        transport.setTcpKeepAlive(True)
        transport.registerProducer(_Answers(self), True)
        self.adapter.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._closing:
            return
        reader = self._reader
        if self._upload is not None:
            self.active_at = self.adapter.now()
        if self.guard is not None:
            reader.trusted = self.guard.user is not None
        found = reader.feed(data)
        if self._upload is not None:
            self._go_on_uploading()
        if self._backlog:
            self._backlog.append((found, reader.data))
            return
        if found:
            self._take(found, reader.data)
        if self._backlog:
            return
        if reader.error is not None:
            self._wrong(reader.error)
        elif reader.unfinished is not None and reader.unfinished.kept and reader.unfinished.size > KEPT_LIMIT:
            self._begin_uploading()
        if self._in_flight >= self.adapter.pipelined:
            self._stand(_ITS_COMMANDS)

    def _take(self, found: Sequence[Found], data: bytes) -> None:
        """Make calls of commands: one of neighbours that are alike."""
        if self.binding is not None:
            self._one_by_one(found, data)
            return
        adapter = self.adapter
        self.active_at = adapter.now()
        room = max(adapter.pipelined - self._in_flight, 1)
        if len(found) > room:
            self._take(found[:room], data)
            if not self._closing:
                self._defer(found[room:], data)
            return
        known = adapter.rows.known
        first, code, size = 0, -1, 0
        rows: list[Row] = []
        for at, (name, argument, words, start, end) in enumerate(found):
            row = known.get(name) or adapter.rows.find(name)
            if row is not None:
                if row.container and argument is not None:
                    row = adapter.rows.inner(row, argument)
                row.calls.value += 1
                if self.guard is not None and self._refused(row, found[at], data, rows, found[first:at]):
                    rows, code = [], -1
                    continue
                if row.code in BATCHED and (words == row.arity or words >= -row.arity > 0):
                    if row.code != code or len(rows) >= BATCH_COUNT or size + end - start > BATCH_BYTES:
                        if rows:
                            self._call(rows, found[first:at], data)
                            rows = []
                        first, code, size = at, row.code, 0
                    rows.append(row)
                    size += end - start
                    continue
            if rows:
                self._call(rows, found[first:at], data)
                rows, code = [], -1
            if row is not None and row.may_bind:
                self._one_by_one(found[at:], data, counted=True)
                return
            self._single(row, found[at], data)
            if self._closing:
                return
        if rows:
            self._call(rows, found[first:] if first else found, data)

    def _refused(
        self, row: Row, found: Found, data: bytes, rows: list[Row], before: Sequence[Found]
    ) -> Optional[bytes]:
        """Refuse a command that this client may not send, behind those `before` it that are not sent yet."""
        assert self.guard is not None
        if not row.command.fits(found[2]):
            return None
        refused = self.guard.refuses(row.command, found, data)
        if refused is not None:
            if rows:
                self._call(rows, before, data)
            self.adapter.denied(self, row.command.name, refused)
            self._refuse(refused, row)
        return refused

    def _call(self, rows: list[Row], found: Sequence[Found], data: bytes) -> None:
        """Begin a call of these commands."""
        start, end = found[0][3], found[-1][4]
        size = end - start
        row = rows[0]
        call = RedisCall(self.adapter.name, row.command, found, data, data if size == len(data) else data[start:end])
        key = found[0][1]
        if key is not None:
            call.key = key
        if row.code == WRITE:
            call.write = True
        count = len(rows)
        call.bytes_in = size
        call.received = self.active_at
        if count == 1:
            self._begin(call, row, None)
        else:
            call.count = count
            self._begin(call, row, None if rows.count(row) == count else rows)

    def _begin(
        self, call: RedisCall, row: Row, rows: Optional[Sequence[Row]], upload: Optional[ByteStream] = None
    ) -> Exchange:
        call.caller = self
        call.started = self.active_at
        if self.db:
            call.db = self.db
        if self.resp != 2:
            call.resp = self.resp
            call.version = VERSIONS[self.resp]
        exchange = Exchange(self, call, row, rows, upload) if self.mute is Mute.NO else self._silent(call, row)
        self.last = row.command.name
        self._in_flight += call.count
        self.queue.append(exchange)
        if self._repeating or self._unbegun:
            self._unbegun.append(exchange)
        else:
            exchange.begin()
        return exchange

    def _silent(self, call: RedisCall, row: Row) -> Exchange:
        if self.mute is Mute.NEXT:
            self.mute = Mute.NO
        return Silent(self, call, row, None)

    def _single(self, row: Optional[Row], found: Found, data: bytes) -> None:
        """Take a command that is no part of a batch: most of them are answered here, or refused."""
        _, first, count, start, end = found
        if row is None:
            self._refuse(unknown_command(arguments(data[start:end])))
        elif not row.command.fits(count):
            self._refuse(wrong_arity(row.command.name), row)
        elif row.container and first is not None:
            self._refuse(unknown_subcommand(row.command.name, first), row)
        elif row.code == REFUSED:
            self._refuse(refused(row.command.name, row.command.refusal), row)
        elif row.code == LOCAL:
            self.last = row.command.name.lower()
            self.answer(answer_locally(self, row.command, arguments(data[start:end])))
        else:
            self._alone(row, found, data)

    def repeats(self, call: RedisCall) -> bool:
        """Whether a call may be sent again: reads not behind later writes, writes not behind anything."""
        for each in reversed(self.queue):
            if not isinstance(each, Exchange) or each in self._unbegun:
                continue
            if each.call is call:
                if not each.again:
                    each.again = True
                    self._repeating += 1
                return True
            if call.write or each.call.write:
                return False
        return True

    def _begin_rest(self) -> None:
        """What waited for calls that were tried again goes on."""
        while self._unbegun and not self._repeating:
            self._unbegun.pop(0).begin()

    def _defer(self, found: Sequence[Found], data: bytes) -> None:
        """Have commands wait until there is room for them."""
        self._backlog.append((found, data))
        self._stand(_ITS_TURN)

    # --- what belongs to a session

    def _one_by_one(self, found: Sequence[Found], data: bytes, counted: bool = False) -> None:
        """Take commands of which any may belong to a session.

        :param counted: whether the first has been seen before.
        """
        rows = self.adapter.rows
        self.active_at = self.adapter.now()
        for at, each in enumerate(found):
            row = rows.find(each[0])
            if row is not None and row.container and each[1] is not None:
                row = rows.inner(row, each[1])
            if not (counted and at == 0):
                if row is not None:
                    row.calls.value += 1
                if self.guard is not None and row is not None and self._refused(row, each, data, [], ()):
                    continue
            if not self._bind(row, each, data):
                self._hold(found[at:], data)
                return
            if self._closing:
                return

    def _bind(self, row: Optional[Row], found: Found, data: bytes) -> bool:
        """Take a command of a client that has a session, or begins one; returns False if it has to wait."""
        binding = self.binding
        if binding is None:
            binding = self.binding = Binding(self)
        words = arguments(data[found[3] : found[4]])
        known = row if row is not None and row.command.fits(found[2]) else None
        if known is not None and known.container and found[1] is not None:
            # There is no such subcommand.
            known = None
        turn = binding.take(known, found, data, words)
        if turn is Turn.WAIT:
            return False
        if turn is Turn.ORDINARY:
            if known is not None and known.code in BATCHED:
                self._call([known], [found], data)
            else:
                self._single(row, found, data)
        if not self.queue:
            self._rest()
        return True

    def begin_own(self, row: Row, found: Found, data: bytes) -> None:
        """Begin a call that goes over the session's own connection."""
        assert self.binding is not None
        self._alone(row, found, data, self.binding.session)

    def _hold(self, found: Sequence[Found], data: bytes) -> None:
        """Have commands wait until those before them are answered."""
        self._backlog.append((found, data))
        self._stand(_ITS_TURN)

    def _rest(self) -> None:
        """Nothing is in flight: what belongs to the session may have come to its end, and what waited goes on."""
        if self.binding is not None:
            if self.queue:
                return
            if self.binding.rest():
                self.binding = None
        if not self._backlog or self._closing:
            return
        backlog, self._backlog = self._backlog, []
        while backlog and not self._backlog and not self._closing:
            found, data = backlog.pop(0)
            self._take(found, data)
        self._backlog += backlog
        if self._backlog or self._closing:
            return
        if self._reader.error is not None:
            self._wrong(self._reader.error)
        self.go_on(_ITS_TURN)

    def tell(self, text: bytes) -> None:
        """Write something that the client has not asked for now."""
        self.write(text)

    def lose(self, why: str) -> None:
        """What the session held is lost: say so, and close, as the client has to begin anew."""
        if not self.gone:
            self.adapter.session_lost(self, why)
            self.answer(error("MESHFAILURE", f"upstream failure: {why}"))
            self.close()

    def _alone(self, row: Row, found: Found, data: bytes, session: Optional[Session] = None) -> None:
        start, end = found[3:]
        call = RedisCall(self.adapter.name, row.command, (found,), data, data[start:end])
        call.write = row.command.write
        call.bytes_in = end - start
        call.received = self.active_at
        words = call.words()
        places = row.command.keys(words)
        if places:
            call.key = words[places[0]]
        if session is not None:
            call.session = session
            # It is not sent twice.
            call.write = True
        self._begin(call, row, None)

    # --- a large value

    def _begin_uploading(self) -> None:
        """Pass on a command whose value has not come to its end, if it is clear where it goes."""
        unfinished = self._reader.unfinished
        assert unfinished is not None
        name, key = unfinished.name, unfinished.key
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
        body = ByteStream(_Value(self))
        found: Found = (name, key, unfinished.words, 0, 0)
        call = RedisCall(self.adapter.name, row.command, (found,), b"", body)
        call.key = key
        call.write = row.command.write
        body.write(self._reader.release())
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
        if reader.unfinished is None and reader.error is None:
            self._upload = exchange.upload = None
            self.go_on(_ITS_VALUE)
            if body is not None and not body.closed:
                call.received = self.adapter.now()
                body.end()

    # --- what goes

    def answer(self, answer: bytes) -> None:
        """Give an answer that is known already, behind those that are still awaited."""
        if self.mute is not Mute.NO:
            if self.mute is Mute.NEXT:
                self.mute = Mute.NO
            return
        if not self.queue:
            self.write(answer, later=True)
            return
        self.queue.append(Ready(answer))
        self._in_flight += 1

    def answered(self, exchange: Exchange) -> None:
        """An exchange has its answer: write what can be written now."""
        queue = self.queue
        if exchange.again:
            exchange.again = False
            self._repeating -= 1
            if not self._repeating and self._unbegun:
                # In the next turn: this one is to be written first.
                self.soon(self._begin_rest)
        if not queue or queue[0] is not exchange or self.gone:
            return
        if len(queue) == 1 and not self._out:
            # What is nearly always the case.
            queue.popleft()
            self._in_flight -= exchange.count
            if exchange.answer:
                self._transport.write(exchange.answer)
            if self._still or self._closing or self._eof or self.binding is not None:
                self._settle()
            return
        self._advance()

    def _advance(self) -> None:
        """Write the answers that nothing stands before."""
        queue = self.queue
        while queue and queue[0].answer is not None:
            exchange = queue.popleft()
            self._in_flight -= exchange.count
            if exchange.answer:
                self._out.append(exchange.answer)
        if queue:
            if queue[0].coming is not None:
                self.streams(queue[0])
            elif self._out:
                self._flush_later()
        else:
            self._flush()
        self._settle()

    def streams(self, exchange: Union[Exchange, Ready]) -> None:
        """The answer of an exchange comes in pieces: they are taken once nothing stands before it."""
        if self.queue and self.queue[0] is exchange and isinstance(exchange, Exchange) and exchange.coming is not None:
            self._flush()
            self._moves()
            exchange.coming.attach(exchange)
            if self._still & _ITS_ANSWERS and exchange.coming is not None:
                exchange.coming.pause()

    def write(self, data: bytes, *, later: bool = False) -> None:
        """Write what comes next."""
        if later or self._out:
            self._out.append(data)
            self._flush_later()
        elif not self.gone:
            self._transport.write(data)

    def _flush_later(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        out = self._out
        if out:
            self._out = []
            if not self.gone:
                self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._closing and not self.queue and not self.gone:
            self._transport.finish()

    def _settle(self) -> None:
        """Answers have gone out: read on, or close, as the case may be."""
        if self._still & _ITS_COMMANDS and self._in_flight <= self.adapter.pipelined // 2:
            self.go_on(_ITS_COMMANDS)
        if (self.binding is not None and not self.queue) or (
            self._backlog and self._in_flight <= self.adapter.pipelined // 2 and not self._still & _ITS_ANSWERS
        ):
            self._rest()
        if not self.queue and not self._backlog and (self._closing or self._eof or self.adapter.draining):
            self._closing = True
            self._flush_later()

    def _refuse(self, answer: bytes, row: Optional[Row] = None) -> None:
        """Answer with an error that the upstream never hears of."""
        if row is not None:
            row.errors.value += 1
        self.answer(answer)

    def _wrong(self, error: RespError) -> None:
        """What came is no command: say so as a server does, and close behind the answers before it."""
        self.adapter.wrong(self, error.text)
        self.answer(error.reply)
        self.close()

    # --- the end

    def close(self) -> None:
        """Read no more, and close once everything is answered."""
        self._closing = True
        if not self.queue:
            self._flush_later()

    def drain(self) -> None:
        """Close once everything is answered that has come, and what the kernel already holds."""
        if not self.queue and not self._backlog and self._reader.held == 0 and not self._unread():
            self.close()
        else:
            # As if it had said that it sends no more.
            self._eof = True

    def _unread(self) -> bool:
        """Whether the kernel holds something of the client's that was not read yet."""
        sock = getattr(self._transport, "sock", None)
        try:
            return sock is not None and bool(sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def expire(self) -> None:
        """It has been idle for too long."""
        self._closing = True
        self._transport.loseConnection()

    def cut(self) -> None:
        """End the connection now."""
        if not self.gone:
            self._transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The client sends no more; it may still read."""
        self._eof = True
        if self._upload is not None or (self.binding is not None and self.binding.waits):
            # Who would wait for an answer would not go: what it takes would be lost.
            self.cut()
        elif not self.queue and not self._backlog:
            self._closing = True
            self._flush()

    def writeConnectionLost(self) -> None:
        """We send no more."""

    def connectionLost(self, reason: Any) -> None:
        """The client has gone: nobody waits for its answers any more."""
        self.gone = True
        queue, self.queue = self.queue, deque()
        self._out = []
        self._unbegun = []
        self._upload = None
        self._backlog = []
        if self.binding is not None:
            self.binding.end()
        for each in queue:
            each.leave(Kind.CLIENT_GONE)
        self.adapter.closed(self)

    # --- how fast

    def _moves(self) -> None:
        """A large value is on its way: see to it that it goes on."""
        self._stood = (-1, self.adapter.now())
        self.adapter.moves(self)

    def look(self, now: float) -> None:
        """See whether a large value has stood still for too long."""
        coming = self.queue[0].coming if self.queue else None
        if self._upload is None and coming is None:
            self.adapter.moving.discard(self)
            return
        left = getattr(self._transport, "untaken", 0)
        if coming is None or not self._still & _ITS_ANSWERS or left != self._stood[0]:
            self._stood = (left, now)
        # The client's turn is it only as far as nobody holds it back.
        since = self.active_at if self._upload is not None and not self._still & _ITS_VALUE else now
        if now - min(since, self._stood[1]) >= self.adapter.stalled:
            for each in self.queue:
                if isinstance(each, Exchange):
                    each.call.details = each.call.details or f"a value stood still for {self.adapter.stalled:g} s"
            self.adapter.stalls.value += 1
            self.cut()

    def _stand(self, why: int) -> None:
        if not self._still and not self.gone:
            self._transport.pauseProducing()
        self._still |= why

    def go_on(self, why: int) -> None:
        """One reason not to read the client is gone."""
        if self._still & why:
            self._still &= ~why
            if not self._still and not self.gone:
                self._transport.resumeProducing()

    def answers_wait(self, waiting: bool) -> None:
        """The client does not take its answers as fast as they come, or takes them again."""
        stream = self.queue[0].coming if self.queue else None
        if self.binding is not None:
            self.binding.session.hold(waiting)
        if waiting:
            self._stand(_ITS_ANSWERS)
            if stream is not None:
                stream.pause()
        else:
            self.go_on(_ITS_ANSWERS)
            if stream is not None:
                stream.resume()
            if not self.gone:
                self._settle()

    def value_waits(self, waiting: bool) -> None:
        """The server does not take a large value as fast as it comes, or takes it again."""
        if waiting:
            self._stand(_ITS_VALUE)
        else:
            self.go_on(_ITS_VALUE)


class _Answers:
    """What the transport pauses when the client reads too slowly."""

    __slots__ = ("_connection",)

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        self._connection.answers_wait(True)

    def resumeProducing(self) -> None:
        self._connection.answers_wait(False)

    def stopProducing(self) -> None:
        """The connection is gone, which it is told."""


class _Value(_Answers):
    """What pauses a client when its value cannot be taken as fast as it comes."""

    __slots__ = ()

    def pauseProducing(self) -> None:
        self._connection.value_waits(True)

    def resumeProducing(self) -> None:
        self._connection.value_waits(False)

    def stopProducing(self) -> None:
        """Nobody wants the rest: it is read all the same, as another command follows."""
        self._connection.value_waits(False)
