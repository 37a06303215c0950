"""The HTTP/1.1 adapter: the connections of one listener, and what watches over their time."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.adapters.blame import filter_failed, filter_stuck
from twisted_mesh.adapters.http_connection import NEXT_REQUEST, HttpConnection
from twisted_mesh.adapters.standing_in import no_chain, refused
from twisted_mesh.call import Call, Completion
from twisted_mesh.calls import CallTable
from twisted_mesh.codec.deadline import STYLES
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.request import RequestReader
from twisted_mesh.codec.target import Normalise
from twisted_mesh.errors import Kind
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh.model import HttpOptions
    from twisted_mesh.net.accept import Accepted
    from twisted_mesh.net.handshakes import SecureAccepted

# Seconds between two looks at the connections: short enough for the shortest timeout in use, and no shorter.
_LOOK_SHORTEST = 0.025
_LOOK_LONGEST = 0.5
_LOOKS_PER_TIMEOUT = 10
# Seconds between two log lines about the same thing that clients do wrong.
_LOG_EVERY = 10.0
_DEADLINES = frozenset(each.decode() for each in STYLES)


class HttpAdapter:
    """Turns the HTTP/1.x requests of one listener into calls.

    `chain` is what every call runs through; it may be replaced at any time, and calls in flight stay on the old one.
    """

    protocol = "http"

    def __init__(self, name: str, options: HttpOptions, env: Env, node: str = "twisted-mesh") -> None:
        self.name = name
        self.env = env
        self.node = node
        self.now: Callable[[], float] = env.now
        self.chain: Proceed = no_chain
        self.open: set[HttpConnection] = set()
        # Accepted, but not yet made by the loop: they count, or one batch could bring many more than are allowed.
        self._arriving: set[HttpConnection] = set()
        self.closing = self.draining = False
        families = Families(env.metrics)
        self.cells = families.listener("http", name)
        self.deadlines = families.deadlines.labels(name, "heeded")
        self.deadlines_malformed = families.deadlines.labels(name, "malformed")
        self._sweep = Sweep(env.clock)
        self.calls = CallTable(env.now, self._sweep, partial(filter_stuck, env))
        self._watch: Sweep = self._sweep
        self.configure(options)
        # The filters that log and count, for calls that are refused before they reach the chain.
        self.observers: Sequence[Filter] = ()
        self._prefix = f"{env.random.getrandbits(48):012x}"
        self._made = 0
        self._quiet_until = 0.0

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<HttpAdapter {self.name} {state}{len(self.open)} connections, {len(self.calls)} calls>"

    def configure(self, options: HttpOptions) -> None:
        """Go by these options from now on; open connections keep the timeouts that already run."""
        limits, timeouts, normalise = options.limits, options.timeouts, options.normalise
        self.options = options
        self.trusted_hops = options.trusted_hops
        self.half_close = options.half_close
        self.header_timeout: float = timeouts.header
        self.idle_timeout: float = timeouts.idle
        self.stream_idle: float = math.inf if timeouts.stream_idle is None else timeouts.stream_idle
        self.tunnel_idle: float = math.inf if timeouts.tunnel_idle is None else timeouts.tunnel_idle
        self.body_limit = limits.body
        self.pipelined = limits.pipelined
        self.reader = RequestReader(
            Normalise(
                normalise.dot_segments, normalise.merge_slashes, normalise.escaped_slashes, normalise.dot_parameters
            ),
            limits.header_bytes,
            limits.url_bytes,
            limits.header_count,
        )
        shortest = min(self.header_timeout, self.idle_timeout, self.stream_idle, self.tunnel_idle)
        self._watch.stop() if self._watch is not self._sweep else None
        interval = min(max(shortest / _LOOKS_PER_TIMEOUT, _LOOK_SHORTEST), _LOOK_LONGEST)
        self._watch = Sweep(self.env.clock, interval)
        self._watch.add(self._look)
        if self.open:
            self._watch.wake()
        for each in self.open:
            each.forget_head()

    # --- what the listener calls

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection."""
        connection = HttpConnection(self, accepted.peer, accepted.peer_host)
        self._arriving.add(connection)
        try:
            accepted.adopt(connection)
        except Exception:
            self._arriving.discard(connection)
            raise

    def secured(self, accepted: SecureAccepted) -> None:
        """Take a new connection whose TLS handshake is over."""
        connection = HttpConnection(self, accepted.peer, accepted.peer_host)
        connection.scheme = "https"
        connection.identity = accepted.identity
        accepted.adopt(connection)

    def announce(self) -> None:
        """Say ``Connection: close`` with every answer from now on: a drain is near."""
        self.closing = True

    def drain(self) -> None:
        """Say ``Connection: close`` with every answer from now on, and close what is idle.

        What the kernel already holds of a request is still read and answered.
        """
        self.closing = self.draining = True
        # For those whose answer has begun without ``Connection: close``.
        self.idle_timeout = min(self.idle_timeout, NEXT_REQUEST)
        for each in list(self.open):
            each.drain()

    def close_all(self) -> None:
        """End every connection now; calls in flight are cancelled and their clients see a cut."""
        self.calls.cancel_all(Kind.DRAINING)
        for each in list(self.open):
            each.cut()

    @property
    def active(self) -> int:
        """Calls in flight, those whose body still moves included."""
        return sum(1 for each in self.open if each.busy)

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self.open) + len(self._arriving)

    # --- what connections call

    def opened(self, connection: HttpConnection) -> None:
        """A client has connected."""
        if not self.open:
            self._watch.wake()
        self.open.add(connection)
        self._arriving.discard(connection)
        self.cells.connections.value += 1
        self.cells.connections_active.value += 1

    def closed(self, connection: HttpConnection) -> None:
        """A client's connection is gone."""
        if connection in self.open:
            self.open.discard(connection)
            self.cells.connections_active.value -= 1

    def new_id(self) -> str:
        """Return a request id: a counter behind a random prefix, as uuid4 costs 2 us."""
        self._made += 1
        return f"{self._prefix}-{self._made:x}"

    def completion_failed(self, completion: Completion) -> None:
        """Log what a completion raised; called inside the ``except``."""
        self.env.log.failure("listener {listener}: {completion!r} failed", listener=self.name, completion=completion)

    def refused_call(self, peer: str, client: str, error: HttpError, identity: Optional[str] = None) -> Call:
        """Return a call for bytes that were refused, so that they are logged and counted like any other.

        It runs through none but the `observers`, which are the access log and the metrics.
        """
        call = Call("http", self.name, "", Headers())
        call.started = self.now()
        call.peer = peer
        call.client = client
        call.identity = identity
        call.id = self.new_id()
        call.status = error.status
        call.details = error.text
        call.flag(Kind.REQUEST_TIMEOUT if error.status == 408 else Kind.BAD_REQUEST)
        for each in self.observers:
            each(call, refused)
        return call

    def malformed_deadline(self, call: Call, count: int) -> None:
        """Count fields of a call that should say how long its caller waits, and say nothing; log one now and then."""
        self.deadlines_malformed.value += count
        now = self.now()
        if now >= self._quiet_until:
            self._quiet_until = now + _LOG_EVERY
            self.env.log.warn(
                "listener {listener}: a deadline of {client} is malformed, and was not heeded: {fields}",
                listener=self.name,
                client=call.client,
                fields=", ".join(f"{name}: {value:.80}" for name, value in call.headers.items() if name in _DEADLINES),
            )

    def filter_failed(self, call: Call, error: BaseException) -> None:
        """Log and count what a filter raised that nobody expects."""
        filter_failed(self.env, call, error)

    def _look(self) -> bool:
        now = self.now()
        for each in [each for each in self.open if each.deadline <= now]:
            each.expired(now)
        return bool(self.open)
