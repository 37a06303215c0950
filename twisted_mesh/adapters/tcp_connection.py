"""One client's TCP connection: a call while the chain runs, then two joined sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

from twisted_mesh.adapters.blame import count_failure, filter_failed
from twisted_mesh.call import Body, Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.net.copying import Copying
from twisted_mesh.net.pair import CLIENT_RESET, FAILED, UPSTREAM_RESET, Pair
from twisted_mesh.net.side import OnDemand, Side
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.adapters.tcp import TcpAdapter
    from twisted_mesh.net.accept import Accepted

# What is noted of a call whose established connection broke: no failure of the endpoint, as nothing tells whose it was.
_FLAGS = {CLIENT_RESET: Kind.CLIENT_GONE, UPSTREAM_RESET: Kind.RESET, FAILED: Kind.INTERNAL}


class TcpConnection:
    """A client's connection and its one call."""

    __slots__ = ("_adapter", "_driver", "_gone", "_loop", "_pair", "_untaken", "_watched", "call", "side")

    def __init__(self, adapter: TcpAdapter, accepted: Accepted, side: Side) -> None:
        self._adapter = adapter
        self._loop = accepted.loop
        self._driver: Optional[Driver] = None
        self._pair: Optional[Union[Pair, Copying]] = None
        self._gone = False
        self._watched = False
        self._untaken: Optional[tuple[int, ...]] = None
        self.side = side
        side.on_opened = self._opened
        side.on_lost = self._lost
        self.call = call = Call("tcp", adapter.name, "CONNECT", Headers())
        call.version = ""
        call.peer = accepted.peer
        call.client = accepted.peer_host
        call.port = accepted.port
        call.id = adapter.new_id()
        call.body = side.body()
        # The whole request is that the client has connected.
        call.started = call.received = adapter.now()

    def __repr__(self) -> str:
        state = repr(self._pair) if self._pair is not None else "connecting"
        return f"<TcpConnection from {self.call.peer} {state}>"

    def begin(self) -> None:
        """Run the chain."""
        adapter = self._adapter
        self._driver = driver = Driver(self.call, self._answered)
        adapter.calls.add(driver)
        driver.start(adapter.chain)
        if self._driver is not None and self.side.whole:
            # It waits for something; many never do.
            relay = adapter.relay(self._loop)
            if relay is not None:
                relay.watch(self.side.socket, self._reset)
                self._watched = True

    def cut(self, kind: Kind) -> None:
        """End it now; both peers see a reset."""
        self.call.flag(kind)
        if self._pair is not None:
            self._pair.stop()
        else:
            self._cancel(kind)

    def look(self, now: float) -> None:
        """See whether it has been idle, or open, for too long."""
        pair, call, adapter = self._pair, self.call, self._adapter
        if pair is None:
            return
        idle = adapter.idle_timeout if call.idle_timeout is None else call.idle_timeout
        longest = adapter.max_duration if call.max_duration is None else call.max_duration
        if now - call.started >= longest:
            self._limit(pair, Kind.MAX_DURATION, f"open for {longest:g} s")
        elif now - pair.last_activity >= idle and not self._taken(pair, now):
            self._limit(pair, Kind.STREAM_IDLE, f"idle for {idle:g} s")
        elif now - pair.last_activity < idle / 2:
            self._untaken = None
        elif self._untaken is None:
            self._untaken = pair.untaken

    def _taken(self, pair: Union[Pair, Copying], now: float) -> bool:
        """Whether a peer has taken something since half of the idle time was over, which then begins anew.

        The kernel holds megabytes and passes on the room it has in large steps: what a slow reader takes moves nothing
        here for a long time.
        """
        before, self._untaken = self._untaken, None
        if before is None or before == pair.untaken:
            return False
        pair.last_activity = now
        return True

    def _limit(self, pair: Union[Pair, Copying], kind: Kind, detail: str) -> None:
        self.call.flag(kind)
        self.call.details = detail
        # What is idle has nothing under way that could be cut; what is open for too long may have.
        pair.stop(reset=kind is Kind.MAX_DURATION)

    # --- the chain has ended

    def _answered(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        """Go on with what the chain came to; the driver calls this exactly once."""
        driver, self._driver = self._driver, None
        if driver is not None:
            self._adapter.calls.discard(driver)
        call.timeout = None
        if error is None and not isinstance(reply, Reply):
            error = TypeError(f"a filter returned {reply!r} in the place of a reply")
        if error is not None:
            self._failed(call, error)
            return
        assert reply is not None
        call.head_at = self._adapter.now()
        call.status = reply.status
        if self._gone:
            reply.discard()
            self._complete()
        else:
            self._join(call, reply)

    def _failed(self, call: Call, error: BaseException) -> None:
        if isinstance(error, (MeshError, Cancelled)):
            call.flag(error.kind)
            call.details = call.details or error.detail or error.kind.value
        else:
            filter_failed(self._adapter.env, call, error)
            call.flag(Kind.INTERNAL)
            call.details = "a filter failed"
        self._unwatch()
        self.side.abort()
        self._complete()

    def _join(self, call: Call, reply: Reply) -> None:
        """Let bytes flow: through the kernel if nobody wants to see them."""
        client, upstream = self.side, reply.tunnel
        if upstream is not None and not isinstance(upstream, Side):
            reply.discard()
            self._failed(call, TypeError(f"a TCP call was answered with {upstream!r}"))
            return
        relay = self._adapter.relay(self._loop)
        if (
            relay is not None
            and upstream is not None
            and _untouched(client, call.body)
            and _untouched(upstream, reply.body)
        ):
            self._watched = False
            self._pair = relay.join(client.take(), upstream.take(), self._done)
            return
        self._unwatch()
        inward = call.body if isinstance(call.body, ByteStream) else _stream_of(call.body)
        outward = reply.body
        if isinstance(outward, bytes):
            outward = upstream.body() if upstream is not None and not outward else _stream_of(outward)
        self._pair = Copying(client, upstream, inward, outward, self._adapter.now, self._done)

    # --- the client, before there is a pair

    def _reset(self) -> None:
        """The client has reset its connection, and nobody had read from it."""
        self._watched = False
        self._cancel(Kind.CLIENT_GONE)

    def _opened(self, side: Side) -> None:
        """A filter wants to see the bytes: from now on the loop reads, and tells of a reset."""
        self._unwatch()

    def _lost(self, side: Side) -> None:
        self._cancel(Kind.CLIENT_GONE)

    def _cancel(self, kind: Kind) -> None:
        self._gone = True
        self._unwatch()
        self.side.abort()
        if self._driver is not None:
            self.call.flag(kind)
            self._adapter.calls.cancel(self._driver, Cancelled(kind))

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            relay = self._adapter.relay(self._loop)
            if relay is not None:
                relay.unwatch(self.side.socket)

    # --- the end

    def _done(self, pair: Union[Pair, Copying]) -> None:
        call = self.call
        call.bytes_in = pair.bytes_in
        call.bytes_out = pair.bytes_out
        kind = _FLAGS.get(pair.how)
        if kind is not None:
            call.flag(kind)
            call.details = call.details or pair.how
        if isinstance(pair, Copying) and pair.error is not None and pair.how == FAILED:
            # It was logged where it happened.
            count_failure(self._adapter.env, pair.error)
        self._complete()

    def _complete(self) -> None:
        self.side.forget()
        self._pair = None
        self.call.complete(self._adapter.now(), self._adapter.completion_failed)
        self._adapter.closed(self)


def _untouched(side: Side, body: Body) -> bool:
    """Whether nobody has read from this side or wants to."""
    if isinstance(body, bytes):
        return side.whole and not body
    return side.whole and isinstance(body, OnDemand) and body.side is side


def _stream_of(data: bytes) -> ByteStream:
    stream = ByteStream()
    if data:
        stream.write(data)
    stream.end()
    return stream
