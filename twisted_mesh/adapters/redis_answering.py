"""What goes to a Redis client: answers in the order of the commands, and how fast they come and go."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from twisted_mesh.adapters.redis_binding import Binding, Mute
from twisted_mesh.adapters.redis_client import Client
from twisted_mesh.adapters.redis_exchange import Exchange, Ready
from twisted_mesh.adapters.redis_rows import Row
from twisted_mesh.codec.resp_request_scan import Found

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter

# Why a client is not read.
ITS_ANSWERS, ITS_COMMANDS, ITS_VALUE, ITS_TURN = 1, 2, 4, 8


class Answering(Client):
    """The side of a client's connection that writes.

    `queue` are the answers that the client waits for, in order; `gone` says that there is nobody to write to any more.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_eof",
        "_flushing",
        "_in_flight",
        "_out",
        "_repeating",
        "_still",
        "_stood",
        "_told",
        "_unbegun",
        "_upload",
        "binding",
        "gone",
        "mute",
        "placed",
        "queue",
        "soon",
    )

    def __init__(self, adapter: RedisAdapter, number: int, peer: str, client: str, soon: Any) -> None:
        super().__init__(adapter, number, peer, client)
        self.soon = soon
        self.queue: deque[Union[Exchange, Ready]] = deque()
        self.gone = False
        # Its transaction, its subscriptions, and the like; None as long as it has none.
        self.binding: Optional[Binding] = None
        # Whether it wants to hear no answers.
        self.mute = Mute.NO
        # See `redis_call.Caller`.
        self.placed: Any = None
        # Commands that wait until those before them are answered.
        self._backlog: list[tuple[Sequence[Found], bytes]] = []
        # What is to be written in this turn of the loop.
        self._out: list[bytes] = []
        self._flushing = False
        # Whether it is closed once everything is answered; whether it sends no more.
        self._closing = False
        self._eof = False
        # Commands that wait for their answers.
        self._in_flight = 0
        # Calls that are tried again, or wait in a filter; and those behind them, which wait for that.
        self._repeating = 0
        self._unbegun: list[Exchange] = []
        # Why it is not read: bits.
        self._still = 0
        # How much of a large reply the client had not taken, and since when that is so.
        self._stood = (-1, 0.0)
        self._upload: Optional[Exchange] = None
        # What it has not asked for and is told once the large reply that it is getting has ended.
        self._told: list[bytes] = []

    @property
    def crowded(self) -> bool:
        """Whether it waits for other replies than the one to its last call."""
        return len(self.queue) > 1

    def answer(self, answer: bytes) -> None:
        """Give an answer that is known already, behind those that are still awaited."""
        if self.mute is not Mute.NO:
            if self.mute is Mute.NEXT:
                self.mute = Mute.NO
            return
        if not self.queue:
            self.write(answer, later=True)
            return
        ready = Ready(answer)
        self.queue.append(ready)
        self._in_flight += ready.count

    def expect(self) -> Ready:
        """Return the place of an answer that comes later; `given` says that it is there."""
        place = Ready(None)
        if self.mute is Mute.NO:
            self.queue.append(place)
            self._in_flight += 1
        elif self.mute is Mute.NEXT:
            self.mute = Mute.NO
        return place

    def given(self, place: Ready, answer: bytes) -> None:
        """An answer that was expected is there."""
        place.answer = answer
        if not self.gone and self.queue and self.queue[0] is place:
            self._advance()

    def answered(self, exchange: Exchange) -> None:
        """An exchange has its answer: write what can be written now."""
        queue = self.queue
        if exchange.again:
            self.lets_go(exchange)
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

    def holds(self, exchange: Exchange) -> None:
        """What comes behind a call is to wait until `lets_go`, or until it is answered."""
        if not exchange.again:
            exchange.again = True
            self._repeating += 1

    def lets_go(self, exchange: Exchange) -> None:
        """It need not wait any more."""
        if exchange.again:
            exchange.again = False
            self._repeating -= 1
            if not self._repeating and self._unbegun:
                # In the next turn: this one is to be sent, or its answer written, first.
                self.soon(self._begin_rest)

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
            if self._still & ITS_ANSWERS and exchange.coming is not None:
                exchange.coming.pause()

    def write(self, data: bytes, *, later: bool = False) -> None:
        """Write what comes next."""
        if later or self._out:
            self._out.append(data)
            self._flush_later()
        elif not self.gone:
            self._transport.write(data)

    def tell(self, text: bytes) -> None:
        """Write something that the client has not asked for now, but not into the middle of a large reply."""
        if self.queue and self.queue[0].coming is not None:
            self._told.append(text)
            self._hold_session()
        else:
            self.write(text)

    def tell_rest(self) -> None:
        """A large reply has come to its end: write what was to wait for that."""
        if self._told:
            told, self._told = self._told, []
            self.write(b"".join(told))
            self._hold_session()

    def _hold_session(self) -> None:
        """Have the client's own connections read as far as it can take what they bring."""
        if self.binding is not None:
            self.binding.session.hold(bool(self._still & ITS_ANSWERS), bool(self._told))

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
        if self._still & ITS_COMMANDS and self._in_flight <= self.adapter.pipelined // 2:
            self.go_on(ITS_COMMANDS)
        if (self.binding is not None and not self.queue) or (
            self._backlog and self._in_flight <= self.adapter.pipelined // 2 and not self._still & ITS_ANSWERS
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

    # --- what commands make of it

    def _rest(self) -> None:
        """There is room for commands that have waited."""
        raise NotImplementedError

    def _begin_rest(self) -> None:
        """What waited for calls before it goes on."""
        while self._unbegun and not self._repeating:
            first = self._unbegun[0]
            if first.large and self._others_before(first):
                return
            del self._unbegun[0]
            if first.large:
                self.holds(first)
            first.begin()

    def _others_before(self, large: Exchange) -> bool:
        """Whether a large value has to wait: it has a connection of its own, and may overtake nothing on another.

        What is behind it waits for it, for the same reason.
        """
        for each in self.queue:
            if each is large:
                break
            if isinstance(each, Exchange) and each.answer is None:
                self.holds(each)
        return self._repeating > 0

    # --- the end

    def close(self) -> None:
        """Read no more, and close once everything is answered."""
        self._closing = True
        if not self.queue:
            self._flush_later()

    def cut(self) -> None:
        """End the connection now."""
        if not self.gone:
            self._transport.abortConnection()

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
        if coming is None or not self._still & ITS_ANSWERS or left != self._stood[0]:
            self._stood = (left, now)
        # The client's turn is it only as far as nobody holds it back.
        since = self.active_at if self._upload is not None and not self._still & ITS_VALUE else now
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
        if waiting:
            self._stand(ITS_ANSWERS)
            self._hold_session()
            if stream is not None:
                stream.pause()
        else:
            self.go_on(ITS_ANSWERS)
            self._hold_session()
            if stream is not None:
                stream.resume()
            if not self.gone:
                self._settle()

    def value_waits(self, waiting: bool) -> None:
        """The server does not take a large value as fast as it comes, or takes it again."""
        if waiting:
            self._stand(ITS_VALUE)
        else:
            self.go_on(ITS_VALUE)


class Answers:
    """What the transport pauses when the client reads too slowly."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Answering) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        self._connection.answers_wait(True)

    def resumeProducing(self) -> None:
        self._connection.answers_wait(False)

    def stopProducing(self) -> None:
        """The connection is gone, which it is told."""


class Value(Answers):
    """What pauses a client when its value cannot be taken as fast as it comes."""

    __slots__ = ()

    def pauseProducing(self) -> None:
        self._connection.value_waits(True)

    def resumeProducing(self) -> None:
        self._connection.value_waits(False)

    def stopProducing(self) -> None:
        """Nobody wants the rest: it is read all the same, as another command follows."""
        self._connection.value_waits(False)
