"""The connections to one Redis server: few, each shared by the commands of many clients.

Commands of one database and one version of the protocol go over one connection, or as many as are configured.  Others
are made only where one cannot be shared: while a large value goes in, which leaves no room for anything else, and while
a large reply is held back by a client that reads slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from twisted_mesh.codec.commands import Command, find
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.policy.redis_errors import OK
from twisted_mesh.redis_call import Pending, RedisCall
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.connections import Portion
from twisted_mesh.upstream.redis_greeting import greeting
from twisted_mesh.upstream.redis_server import RedisServer

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.interfaces import Env
    from twisted_mesh.model import Pool as PoolOptions
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.redis_call import Caller
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

# What an endpoint knows the connections by that clients have for themselves, and those of a priority that begin so.
SESSIONS = "redis_session"
# What says that an endpoint cannot be connected to.
UNREACHABLE = (Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT)
PING: Command = find(b"PING")  # type: ignore[assignment]  # there is one
# Where connections for database 0 in RESP2 are kept.
_USUAL = 0 << 2 | 2
# Seconds between two looks for connections that have been idle for too long.
_IDLE_LOOK = 1.0


@dataclass(frozen=True)
class ServerOptions:
    """How servers are spoken to.

    `connections` to each for one database; `in_flight`: commands that may wait for their replies on one of them;
    `silence`: seconds without a byte, while replies are awaited, after which a connection is given up.
    """

    connections: int = 1
    in_flight: int = 65536
    silence: float = 15.0
    username: str = ""
    password: str = ""
    #: The database of clients that have selected none.
    db: int = 0
    #: Whether replicas of a Redis Cluster are to answer reads.
    read_only: bool = False


class RedisPool:
    """The connections to one endpoint.

    :param soon: has something done before the loop waits again.
    """

    __slots__ = (
        "__weakref__",
        "_cluster",
        "_idle",
        "_in_flight",
        "_late",
        "_own",
        "_servers",
        "_shared",
        "_watched",
        "cells",
        "connect_timeout",
        "connector",
        "draining",
        "endpoint",
        "idle_timeout",
        "limit",
        "now",
        "options",
        "portion",
        "silence",
        "soon",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        cluster: Cluster,
        options: ServerOptions,
        env: Env,
        connector: Connector,
        cells: UpstreamCells,
        soon: Callable[..., Any],
    ) -> None:
        self.endpoint = endpoint
        self.cells = cells
        self.connector = connector
        self.now: Callable[[], float] = env.now
        self.soon = soon
        self.draining = False
        # By database and version.
        self._servers: dict[int, list[RedisServer]] = {}
        self.portion = self._new_portion()
        # What connections count for that large values have for themselves, of a priority with a limit of its own.
        self._own: dict[int, Portion] = {}
        self._watched = False
        self._late = Sweep(env.clock)
        self._late.add(self._look)
        self._idle = Sweep(env.clock, _IDLE_LOOK)
        self._idle.add(self._sweep)
        self.configure(cluster, options)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<RedisPool {state}{self.open} open, {sum(each.commands for each in self.servers)} commands in flight>"

    def configure(self, cluster: Cluster, options: ServerOptions) -> None:
        """Go by these options from now on."""
        pool: PoolOptions = cluster.config.pool
        self._cluster = cluster
        self.options = options
        self.silence = options.silence
        self._in_flight = options.in_flight
        self._shared = options.connections
        self.connect_timeout = cluster.connect_timeout
        self.idle_timeout = pool.idle_timeout
        self.limit = pool.max_connections
        limits = cluster.connection_limits
        for priority in {*self._own, *limits.own}:
            portion = self._own.setdefault(priority, self._new_portion())
            portion.share(limits.own.get(priority), self._count(portion))
        self.portion.share(limits.others, self._count(self.portion))

    @property
    def servers(self) -> list[RedisServer]:
        """Every connection."""
        return [each for servers in self._servers.values() for each in servers]

    @property
    def open(self) -> int:
        """How many connections there are."""
        return sum(map(len, self._servers.values()))

    def _new_portion(self) -> Portion:
        portion = Portion(lambda: self._spare(portion))
        return portion

    def _count(self, portion: Portion) -> int:
        return sum(each.portion is portion for each in self.servers)

    @property
    def idle(self) -> list[RedisServer]:
        """Those that nobody waits for a reply on."""
        return [each for each in self.servers if not (each.queue or each.taken or each.held)]

    @property
    def waiting(self) -> tuple[()]:
        """For the metrics: nobody waits here for a connection."""
        return ()

    # --- the hot path

    def send(self, call: RedisCall) -> Pending:
        """Send a call; what is returned fires with a `RedisReply`.

        :raises MeshError: `Kind.OVERFLOW`: too many wait already.
        """
        pending = call.waiter
        if pending is None:
            pending = Pending(call)
        else:
            call.waiter = None
        pending.began = call.connected = self.now()
        # Filters may have changed it.
        pending.body = body = call.body
        self.endpoint.active += 1
        servers = self._servers.get(call.db << 2 | call.resp)
        if (
            servers
            and len(servers) == self._shared == 1
            and not servers[0].held
            and not servers[0].taken
            and type(body) is bytes
        ):
            server = servers[0]
            if server.commands + call.count <= self._in_flight:
                if not self._watched:
                    self._watched = True
                    self._late.wake()
                server.send(pending)
                return pending
        try:
            server = self._other(call)
            if server.commands + call.count > self.options.in_flight:
                self.cells.overflows.value += 1
                detail = f"{self.endpoint.address}: {server.commands} commands wait for their replies"
                raise MeshError(Kind.OVERFLOW, detail)
        except MeshError as error:
            self.ended(pending, error, self.now())
            raise
        self._watched = True
        self._late.wake()
        self._idle.wake()
        server.send(pending)
        return pending

    def straight(self, pending: Pending) -> bool:
        """Send what is no call yet (one command, for database 0 in RESP2) if that can be done at once.

        :returns: whether it was.
        """
        servers = self._servers.get(_USUAL)
        endpoint = self.endpoint
        if not servers or len(servers) != 1 or self._shared != 1 or endpoint.conduct is not None:
            return False
        server = servers[0]
        if not server.ready or server.held or server.taken or server.commands >= self._in_flight:
            return False
        if not self._watched:
            self._watched = True
            self._late.wake()
        endpoint.active += 1
        pending.endpoint = endpoint
        # `RedisServer.send` in line.
        server.queue.append(pending)
        server.commands += 1
        server.unsent.append(pending)
        if not server.scheduled:
            server.scheduled = True
            self.soon(server.flush)
        return True

    def settled(self, count: int) -> None:
        """So many ordinary replies are here, which are counted already by who waited for them."""
        endpoint = self.endpoint
        endpoint.active -= count
        endpoint.successes += count

    def ended(self, pending: Pending, error: Optional[MeshError], now: float) -> None:
        """All replies to a call are here, or it failed: count it."""
        endpoint, cells, count = self.endpoint, self.cells, pending.call.count
        endpoint.active -= 1
        seconds = now - pending.began
        kind = None
        if error is None:
            endpoint.successes += count
            cells.ended(0, None, seconds, count)
        else:
            cells.ended(0, error.flag, seconds, count)
            kind = Kind.INTERNAL
            if error.origin is Origin.UPSTREAM:
                kind = error.kind
                endpoint.failures += count
        if endpoint.conduct is not None:
            endpoint.conduct.ended(pending.call, 0, kind, seconds)

    def answered(self, pending: Pending, said: int, now: float) -> None:
        """There are errors among the replies to a call.

        :param said: the worst that they say of the server, as `redis_errors.verdict`.
        """
        if said == OK:
            self.ended(pending, None, now)
            return
        endpoint, count = self.endpoint, pending.call.count
        seconds = now - pending.began
        endpoint.active -= 1
        endpoint.failures += count
        self.cells.ended(0, None, seconds, count)
        if endpoint.conduct is not None:
            endpoint.conduct.ended(pending.call, said, None, seconds)

    # --- connections

    def _other(self, call: RedisCall) -> RedisServer:
        """Return a connection that can take the call, a new one if need be."""
        key = call.db << 2 | call.resp
        servers = self._servers.setdefault(key, [])
        alone = not isinstance(call.body, bytes)
        portion = self.portion
        if alone and call.priority in self._cluster.connection_limits.own:
            portion = self._own[call.priority]
        free = [each for each in servers if not each.held and not each.taken]
        if alone:
            # The first is for all.
            free = [each for each in free if not each.queue and each is not servers[0] and each.portion is portion]
        caller = call.caller
        behind = None if alone or caller is None or not caller.crowded else _behind(caller, servers)
        if behind is not None:
            server = behind
        elif free and (alone or len(free) >= self.options.connections):
            server = min(free, key=_load)
        elif self.open < self.limit and (not free or portion.free) and portion.take():
            server = RedisServer(self, call.db, call.resp, portion)
            servers.append(server)
            server.connect()
            if server.lost:
                # Refused at once; what it is given is answered so.
                raise self._refused(server)
        elif free:
            server = min(free, key=_load)
        else:
            self.cells.overflows.value += 1
            taken = f"{self.open} connections"
            if self.open < self.limit:
                taken = f"{portion.limit} connections of the cluster"
            raise MeshError(Kind.OVERFLOW, f"{self.endpoint.address}: all of {taken} are taken")
        if alone:
            server.taken = True
            call.on_complete(lambda ended: self._give_back(server))
        elif caller is not None:
            caller.placed = server
        return server

    def _refused(self, server: RedisServer) -> MeshError:
        error = server.error
        assert error is not None
        return MeshError(error.kind, error.detail, origin=error.origin, retryable=error.retryable)

    def _give_back(self, server: RedisServer) -> None:
        server.taken = False

    def greeting(self, db: int, resp: int) -> list[tuple[list[str], bool]]:
        """Return what a new connection says first, and whether it is of no use if that is refused."""
        return greeting(self.options, db, resp)

    def not_connected(self, error: MeshError) -> None:
        """A connection could not be made."""
        self.endpoint.not_connected(error, self.cells)
        if error.origin is Origin.UPSTREAM:
            self._cluster.unreachable(self.endpoint)

    def lost(self, server: RedisServer) -> None:
        """A connection is gone."""
        key = server.db << 2 | server.resp
        servers = self._servers.get(key)
        if servers is not None and server in servers:
            servers.remove(server)
            if not servers:
                del self._servers[key]
            server.portion.give()
            self._maybe_leave()

    def _maybe_leave(self) -> None:
        """A pool that is done with shares nothing more."""
        if self.draining and not self.open:
            for each in (self.portion, *self._own.values()):
                each.share(None, 0)

    # --- time

    def _look(self) -> bool:
        """See what has waited for too long; returns whether anything waits."""
        now, busy = self.now(), False
        for each in self.servers:
            if each.queue:
                busy = True
                each.look(now)
        self._watched = busy
        return busy

    def _sweep(self) -> bool:
        """Close what has been idle for too long; returns whether any is left."""
        now = self.now()
        for each in self.servers:
            if not each.queue and not each.taken and each.idle_since and now - each.idle_since >= self.idle_timeout:
                each.close()
        return bool(self._servers)

    def _spare(self, portion: Portion) -> bool:
        """Close the connection that was idle for longest, as another pool needs its place; returns if there was any."""
        mine = [each for each in self.servers if each.portion is portion]
        idle = [each for each in mine if each.idle_since and not (each.queue or each.taken or each.held)]
        sessions: list[Any] = [pool for name, pool in self.endpoint.pools.items() if name.startswith(SESSIONS)]
        if not idle or (self.open == 1 and any(each.open for each in sessions)):
            # The last one here is not given up while clients have connections of their own to the same server.
            return False
        min(idle, key=_idle_since).close()
        return True

    def mark(self, passed: Callable[[], None]) -> int:
        """Have `passed` called for each connection once all that is in flight on it now is answered, or lost.

        :returns: how many connections have something in flight.
        """
        # Nothing may come between the pieces of a large value.
        busy = [each for each in self.servers if each.queue and not each.taken]
        for server in busy:
            call = RedisCall("", PING, (), b"", b"*1\r\n$4\r\nPING\r\n")
            call.db, call.resp = server.db, server.resp
            pending = Pending(call)
            pending.began = call.connected = self.now()
            pending.resume = passed
            self.endpoint.active += 1
            server.send(pending)
        return len(busy)

    def abort(self, error: MeshError) -> None:
        """End the connections that have something in flight: it fails."""
        for each in self.servers:
            if each.queue:
                each.fail(error)

    def drain(self) -> None:
        """Close what is idle; the rest is closed when it has been idle for a while."""
        self.draining = True
        self.idle_timeout = 0.0
        for each in self.servers:
            if not each.queue and not each.taken:
                each.close()
        self._maybe_leave()


def _load(server: RedisServer) -> int:
    return server.commands


def _behind(caller: Caller, servers: Sequence[RedisServer]) -> Optional[RedisServer]:
    """Return the connection on which a client waits for replies: what it sends elsewhere might overtake that."""
    known: RedisServer = caller.placed
    if known in servers and not known.held and not known.taken:
        return known
    for server in servers:
        # The newest are the likeliest.
        if any(each.is_of(caller) for each in reversed(server.queue)):
            return server
    return None


def _idle_since(server: RedisServer) -> float:
    return server.idle_since
