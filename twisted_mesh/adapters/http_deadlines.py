"""What every client connection has, and how long it may wait: the state that its halves share, and its deadlines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.call import Call
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.adapters.http import HttpAdapter
    from twisted_mesh.adapters.http_body import RequestBody
    from twisted_mesh.chain import Driver

NEVER = math.inf
# Seconds between two looks at a body that is being sent to us.
_BODY_LOOK = 5.0
# The same for a client that is not being read, which shows neither its end nor its reset by itself.
_UNREAD_LOOK = 1.0
# The same for a call whose limits are not known yet, as a filter before the route waits for something.
_UNDECIDED_LOOK = 1.0


class Deadlines:
    """The state of a client connection, and what ends it when it takes too long.

    `deadline` is when the adapter's sweep looks at it next; `active_at` is when a byte of a body last moved.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_driver",
        "_ending",
        "_full",
        "_gone",
        "_half_closed",
        "_keep",
        "_minor",
        "_read_paused",
        "_reading",
        "_reply_body",
        "_untaken",
        "active_at",
        "adapter",
        "body",
        "call",
        "deadline",
        "identity",
        "peer",
        "peer_host",
        "transport",
        "tunnel",
    )

    def __init__(self, adapter: HttpAdapter, peer: str, peer_host: str) -> None:
        self.adapter = adapter
        self.peer = peer
        self.peer_host = peer_host
        # Who the client is by its certificate.
        self.identity: Optional[str] = None
        self.transport: Any = None
        self.call: Optional[Call] = None
        self.body: Optional[RequestBody] = None
        self.tunnel: Any = None
        self.deadline = NEVER
        self.active_at = 0.0
        self._driver: Optional[Driver] = None
        self._reply_body: Optional[ByteStream] = None
        # What peers had not taken when half of the idle time was over.
        self._untaken: Optional[tuple[int, int]] = None
        self._buffer = b""
        self._keep = True
        self._minor = 1
        self._chunked = False
        self._reading = False
        self._read_paused = False
        self._gone = False
        self._half_closed = False
        self._ending = False
        # The client does not take what it has been sent: no request of it is begun until it has.
        self._full = False

    def _read(self, data: bytes) -> None:
        raise NotImplementedError

    def _cut_off(self) -> None:
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Stop reading from the client, and look from time to time whether it is still there."""
        if self._gone:
            return
        if not self._read_paused:
            self._read_paused = True
            self.transport.pauseProducing()
        if self.call is not None:
            self.deadline = min(self.deadline, self.adapter.now() + _UNREAD_LOOK)

    def resume_reading(self) -> None:
        """Read from the client again."""
        if self._read_paused and not self._gone:
            self._read_paused = False
            self.transport.resumeProducing()

    def stop(self, kind: Kind, detail: str = "", status: int = 0) -> None:
        """Stop the call in flight: answer with an error while that is possible, else cut."""
        call, driver = self.call, self._driver
        if call is None:
            return
        self._keep = False
        if driver is not None:
            # Whether the chain ends is for the call table to watch now: another look here would break its cleaning up.
            self.deadline = NEVER
            reason = Cancelled(kind, detail)
            reason.status = status
            self.adapter.calls.cancel(driver, reason)
            return
        call.flag(kind)
        call.details = call.details or detail
        if self.tunnel is not None:
            self.tunnel.abort()
            return
        reply, self._reply_body = self._reply_body, None
        if reply is not None:
            reply.cancel()
        self._cut_off()

    def expired(self, now: float) -> None:
        """Look at what the connection waits for, as its deadline has come."""
        call = self.call
        if call is None:
            self._expired_idle()
            return
        if self._read_paused and self._left():
            return
        if self._driver is not None and self._driver.cancelled_at:
            # Whether the chain ends is for the call table to watch now; see `stop`.
            self.deadline = NEVER
            return
        if self.body is not None and self.body.too_slow(now):
            self.stop(Kind.REQUEST_TIMEOUT, "the request body comes too slowly")
        elif call.max_duration is not None and now >= call.started + call.max_duration:
            self.stop(Kind.MAX_DURATION, f"the call took over {call.max_duration:g} s")
        elif now >= self.active_at + self._idle_limit(call) and not self._taken(now):
            # A body that we keep the client from sending is one that the upstream does not take.
            status = 504 if self.body is not None and self.body.held else 0
            self.stop(Kind.STREAM_IDLE, f"nothing moved for {self._idle_limit(call):g} s", status)
        else:
            self.deadline = self._next_look(call, now)

    def _expired_idle(self) -> None:
        self.deadline = NEVER
        self._ending = True
        self.transport.loseConnection()

    def _left(self) -> bool:
        """End the connection if its client, which is not being read, has gone."""
        departed = getattr(self.transport, "departed", None)
        how: str = "" if departed is None else departed()
        if how == "end" and (self.tunnel is not None or (self.adapter.half_close and self.body is None)):
            # What it has sent is still of use, and the end comes behind it.
            return False
        if how:
            self.transport.abortConnection()
        return bool(how)

    def _idle_limit(self, call: Call) -> float:
        if self.tunnel is not None:
            return self.adapter.tunnel_idle
        return self.adapter.stream_idle if call.idle_timeout is None else call.idle_timeout

    def _taken(self, now: float) -> bool:
        """Whether a peer has taken something since half of the idle time was over, which then begins anew.

        The kernel holds megabytes and passes on the room it has in large steps: what a slow reader takes moves nothing
        here for a long time.
        """
        before, self._untaken = self._untaken, None
        if before is None or before == self._unsent():
            return False
        self.active_at = now
        return True

    def _unsent(self) -> tuple[int, int]:
        """Return how many bytes the client, and the upstream, have not taken yet."""
        to = self.tunnel if self.body is None else self.body.stream
        return getattr(self.transport, "untaken", 0), 0 if to is None else to.untaken

    def _next_look(self, call: Call, now: float) -> float:
        idle = self._idle_limit(call)
        look = self.active_at + idle
        if now < self.active_at + idle / 2:
            look = self.active_at + idle / 2
            self._untaken = None
        elif self._untaken is None:
            self._untaken = self._unsent()
        if call.max_duration is not None:
            look = min(look, call.started + call.max_duration)
        if self._read_paused:
            look = min(look, now + _UNREAD_LOOK)
        if call.route is None:
            return min(look, now + _UNDECIDED_LOOK)
        return look if self.body is None else min(look, now + _BODY_LOOK)

    def cut(self) -> None:
        """End the connection now; see `HttpAdapter.close_all`."""
        if self.call is not None and self._driver is None:
            self.call.flag(Kind.DRAINING)
        self.transport.abortConnection()
