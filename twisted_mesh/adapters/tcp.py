"""The TCP adapter: each connection is one call, CONNECT, which lasts as long as the connection.

What is seen of a client while its upstream is being connected: a reset, on Linux, which cancels the call.  A FIN is no
sign of going away, since a client may send its bytes, half-close and wait for the answer; it is passed on when the
upstream is connected, behind what the client sent.  Nothing is read before that, unless a filter asks for the bytes.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.adapters.blame import filter_stuck
from twisted_mesh.adapters.standing_in import no_chain
from twisted_mesh.adapters.tcp_connection import TcpConnection
from twisted_mesh.calls import CallTable
from twisted_mesh.errors import Kind
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.net.relay import AVAILABLE, Relay
from twisted_mesh.net.secure_side import SecureSide
from twisted_mesh.net.side import OnDemand, Side
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh.call import Completion
    from twisted_mesh.model import TcpOptions
    from twisted_mesh.net.accept import Accepted
    from twisted_mesh.net.handshakes import SecureAccepted

# Seconds between two looks at how long connections have been idle or open.
_LOOK = 0.25


class TcpAdapter:
    """Turns the connections of one listener into calls.

    `chain` is what every call runs through; it may be replaced at any time, and calls that have begun stay on the old
    one.
    """

    protocol = "tcp"

    def __init__(self, name: str, options: TcpOptions, env: Env) -> None:
        self.name = name
        # TCP has no place for it.
        self.node = ""
        self.env = env
        self.now: Callable[[], float] = env.now
        self.chain: Proceed = no_chain
        # For calls that are refused before they reach the chain, of which TCP has none.
        self.observers: Sequence[Filter] = ()
        self.open: set[TcpConnection] = set()
        self.draining = False
        self.cells = Families(env.metrics).listener("tcp", name)
        self._sweep = Sweep(env.clock)
        self.calls = CallTable(env.now, self._sweep, partial(filter_stuck, env))
        self._watch = Sweep(env.clock, _LOOK)
        self._watch.add(self._look)
        self._relay: Optional[Relay] = None
        self._prefix = f"{env.random.getrandbits(48):012x}"
        self._made = 0
        self.configure(options)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<TcpAdapter {self.name} {state}{len(self.open)} connections, {len(self.calls)} connecting>"

    def configure(self, options: TcpOptions) -> None:
        """Go by these options from now on, for open connections too."""
        self.options = options
        self.idle_timeout = math.inf if options.idle_timeout is None else options.idle_timeout
        self.max_duration = math.inf if options.max_duration is None else options.max_duration

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection."""
        side = Side(accepted.loop, accepted.detach(), Kind.CLIENT_GONE, "the client")
        connection = TcpConnection(self, accepted, side)
        self._opened(connection)
        connection.begin()

    def secured(self, accepted: SecureAccepted) -> None:
        """Take a new connection whose TLS handshake is over."""
        side = SecureSide(accepted, Kind.CLIENT_GONE, "the client")
        connection = TcpConnection(self, accepted, side)
        call = connection.call
        call.identity = accepted.identity
        self._opened(connection)
        assert isinstance(call.body, OnDemand)
        side.open_for(call.body)
        connection.begin()

    def _opened(self, connection: TcpConnection) -> None:
        self.open.add(connection)
        self.cells.connections.value += 1
        self.cells.connections_active.value += 1
        self._watch.wake()

    def announce(self) -> None:
        """A drain is near: nothing that TCP could tell a client."""

    def drain(self) -> None:
        """Let what is established go on: a TCP connection has no moment at which it could be ended unharmed."""
        self.draining = True
        self._maybe_done()

    def close_all(self) -> None:
        """Reset every connection now, and cancel the calls that have none yet."""
        self.draining = True
        for each in list(self.open):
            each.cut(Kind.DRAINING)
        self._maybe_done()

    @property
    def active(self) -> int:
        """Calls in flight: every open connection is one."""
        return len(self.open)

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self.open)

    # --- what connections call

    def relay(self, loop: asyncio.AbstractEventLoop) -> Optional[Relay]:
        """Return the relay of this listener; None where there is none to be had: then copy."""
        if self._relay is None and AVAILABLE:
            try:
                self._relay = Relay(loop, self.now)
            except OSError:
                self.env.log.failure(
                    "listener {listener}: bytes are copied, for want of descriptors", listener=self.name
                )
        return self._relay

    def closed(self, connection: TcpConnection) -> None:
        """A connection has ended, and so has its call."""
        if connection in self.open:
            self.open.discard(connection)
            self.cells.connections_active.value -= 1
            self._maybe_done()

    def new_id(self) -> str:
        """Return a call id: a counter behind a random prefix, as uuid4 costs 2 us."""
        self._made += 1
        return f"{self._prefix}-{self._made:x}"

    def completion_failed(self, completion: Completion) -> None:
        """Log what a completion raised; called inside the ``except``."""
        self.env.log.failure("listener {listener}: {completion!r} failed", listener=self.name, completion=completion)

    def _look(self) -> bool:
        now = self.now()
        for each in list(self.open):
            each.look(now)
        return bool(self.open)

    def _maybe_done(self) -> None:
        """Give back what a listener that is going away does not need any more."""
        if self.draining and not self.open and self._relay is not None:
            relay, self._relay = self._relay, None
            relay.close()
