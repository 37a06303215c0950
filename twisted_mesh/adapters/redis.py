"""The Redis adapter: the clients of one listener."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.adapters.blame import filter_stuck
from twisted_mesh.adapters.redis_answering import Answering
from twisted_mesh.adapters.redis_auth import hand_over
from twisted_mesh.adapters.redis_connection import RedisConnection
from twisted_mesh.adapters.redis_ordinary import Ways
from twisted_mesh.adapters.redis_rows import Rows
from twisted_mesh.adapters.redis_shortcut import Shortcut
from twisted_mesh.adapters.redis_users import users
from twisted_mesh.adapters.standing_in import no_chain, refused
from twisted_mesh.call import Call, Completion
from twisted_mesh.calls import CallTable
from twisted_mesh.errors import Kind
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_pause import Pause
    from twisted_mesh.model import RedisOptions
    from twisted_mesh.net.accept import Accepted
    from twisted_mesh.net.handshakes import SecureAccepted
    from twisted_mesh.policy.apart import Apart


# Seconds between two looks for clients that stand still.
_LOOK = 0.5


class RedisAdapter:
    """Turns the commands of one listener's clients into calls.

    `chain` is what every call runs through; it may be replaced at any time, and calls in flight stay on the old one.
    """

    protocol = "redis"

    def __init__(self, name: str, options: RedisOptions, env: Env) -> None:
        self.name = name
        # Redis has no place for it.
        self.node = ""
        self.env = env
        self.now: Callable[[], float] = env.now
        self.chain: Proceed = no_chain
        # What keeps commands from travelling together; None if they all may.
        self.apart: Optional[Apart] = None
        self.observers: Sequence[Filter] = ()
        self.shortcut: Optional[Shortcut] = None
        # In the order in which they came, as CLIENT LIST has it.
        self.open: dict[RedisConnection, None] = {}
        self._arriving: set[RedisConnection] = set()
        self.draining = False
        # While commands of clients wait as one of them has said so.
        self.pause: Optional[Pause] = None
        families = Families(env.metrics)
        self.cells = families.listener("redis", name)
        self._wrong = families.redis_protocol_errors.labels(name)
        self.stalls = families.redis_stalled.labels(name)
        self.rows = Rows(families, name)
        self._sweep = Sweep(env.clock)
        self.calls = CallTable(env.now, self._sweep, partial(filter_stuck, env))
        # What the ids of calls begin with: behind it stands the number of the connection.
        self.ids = f"{env.random.getrandbits(48):012x}-"
        self._made = 0
        # Those that have a large value on its way.
        self.moving: set[Answering] = set()
        self._watch = Sweep(env.clock, _LOOK)
        self._watch.add(self._look)
        self.configure(options)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<RedisAdapter {self.name} {state}{len(self.open)} connections>"

    def configure(self, options: RedisOptions) -> None:
        """Go by these options from now on, for open connections too."""
        self.options = options
        self.pipelined = options.pipelined
        self.databases = options.databases
        self.idle_timeout = options.idle_timeout
        self.stalled = options.stalled
        if self.open:
            self._watch.wake()
        self.users = users(options.users)
        for each in list(self.open):
            hand_over(each, self.users)

    def shorten(self, ways: Optional[Ways]) -> None:
        """Have ordinary commands go by what a chain comes to, while it is this one's; None if none can."""
        before = self.shortcut
        self.shortcut = None if ways is None else Shortcut(self, ways)
        if before is not None:
            before.retire()

    # --- what the listener calls

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection."""
        self._made += 1
        connection = RedisConnection(self, self._made, accepted.peer, accepted.peer_host, accepted.loop.call_soon)
        self._arriving.add(connection)
        try:
            accepted.adopt(connection)
        except Exception:
            self._arriving.discard(connection)
            raise

    def secured(self, accepted: SecureAccepted) -> None:
        """Take a new connection whose TLS handshake is over."""
        self._made += 1
        connection = RedisConnection(self, self._made, accepted.peer, accepted.peer_host, accepted.loop.call_soon)
        connection.certify(accepted.identity)
        accepted.adopt(connection)
        if self.draining:
            connection.drain()

    def announce(self) -> None:
        """A drain is near: nothing that Redis could tell a client."""

    def drain(self) -> None:
        """Answer what is in flight, then close; close what is idle."""
        self.draining = True
        if self.pause is not None:
            self.pause.end()
        for each in list(self.open):
            each.drain()

    def close_all(self) -> None:
        """End every connection now."""
        self.draining = True
        self.calls.cancel_all(Kind.DRAINING)
        for each in list(self.open):
            each.cut()

    @property
    def active(self) -> int:
        """Calls in flight."""
        return sum(len(each.queue) for each in self.open)

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self.open) + len(self._arriving)

    # --- what connections call

    def opened(self, connection: RedisConnection) -> None:
        """A client has connected."""
        self.open[connection] = None
        self._arriving.discard(connection)
        if self.pause is not None:
            self.pause.include(connection)
        if self.idle_timeout is not None:
            self._watch.wake()
        self.cells.connections.value += 1
        self.cells.connections_active.value += 1

    def closed(self, connection: RedisConnection) -> None:
        """A client's connection is gone."""
        if connection in self.open:
            del self.open[connection]
            self.moving.discard(connection)
            self.cells.connections_active.value -= 1

    def moves(self, connection: Answering) -> None:
        """A large value of a client's is on its way."""
        self.moving.add(connection)
        self._watch.wake()

    def _look(self) -> bool:
        """End what has stood still, or been idle, for too long."""
        now, idle = self.now(), self.idle_timeout
        for each in list(self.moving):
            each.look(now)
        if idle is None:
            return bool(self.moving)
        if self.pause is not None:
            # Who has to wait is not idle.
            return True
        for each in [each for each in self.open if now - each.active_at >= idle and not (each.queue or each.listens)]:
            each.expire()
        return bool(self.open)

    def wrong(self, connection: Answering, text: str) -> None:
        """Count and log what is no command."""
        self._wrong.value += 1
        self._seen(connection, "", Kind.BAD_REQUEST, text)

    def too_large(self, connection: Answering, operation: str, answer: bytes) -> None:
        """Count and log a command that was too large to be kept."""
        self._seen(connection, operation, Kind.TOO_LARGE, answer[1:-2].decode("utf-8", "replace"))

    def session_lost(self, connection: Answering, why: str) -> None:
        """Count and log that what a client had at a server is gone."""
        self._seen(connection, "", Kind.CLOSED, why)

    def denied(self, connection: Answering, operation: str, answer: bytes) -> None:
        """Count and log a command that a client may not send, or a login that was wrong."""
        kind = Kind.DENIED if answer.startswith(b"-NOPERM") else Kind.UNAUTHENTICATED
        self._seen(connection, operation, kind, answer[1:-2].decode("utf-8", "replace"))

    def _seen(self, connection: Answering, operation: str, kind: Kind, text: str) -> None:
        """Have those that only observe see a call that is none."""
        call = Call("redis", self.name, operation, Headers())
        call.started = self.now()
        call.peer = connection.peer
        call.client = connection.client
        call.id = self.ids + str(connection.id)
        call.details = text
        call.version = ""
        call.identity = connection.identity
        call.flag(kind)
        for each in self.observers:
            each(call, refused)
        call.complete(self.now(), self.completion_failed)

    def completion_failed(self, completion: Completion) -> None:
        """Log what a completion raised; called inside the ``except``."""
        self.env.log.failure("listener {listener}: {completion!r} failed", listener=self.name, completion=completion)
