"""The connections to one Redis server: which there are, which of them a call goes over, and when they end.

Commands of one database and one version of the protocol go over one connection, or as many as are configured.  Others
are made only where one cannot be shared: while a large value goes in, which leaves no room for anything else, and while
a large reply is held back by a client that reads slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.connections import Portion
from twisted_mesh.upstream.redis_greeting import ServerOptions, greeting
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
# Seconds between two looks for connections that have been idle for too long.
_IDLE_LOOK = 1.0


class SharedConnections:
    """The connections to one endpoint that many clients share, by database and version of the protocol."""

    __slots__ = (
        "_cluster",
        "_idle",
        "_own",
        "_servers",
        "_shared",
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
    )

    def __init__(
        self,
        endpoint: Endpoint,
        cluster: Cluster,
        options: ServerOptions,
        env: Env,
        connector: Connector,
        cells: UpstreamCells,
    ) -> None:
        self.endpoint = endpoint
        self.cells = cells
        self.connector = connector
        self.now: Callable[[], float] = env.now
        self.draining = False
        # By database and version.
        self._servers: dict[int, list[RedisServer]] = {}
        self.portion = self._new_portion()
        # What connections count for that large values have for themselves, of a priority with a limit of its own.
        self._own: dict[int, Portion] = {}
        self._idle = Sweep(env.clock, _IDLE_LOOK)
        self._idle.add(self._sweep)
        self.configure(cluster, options)

    def configure(self, cluster: Cluster, options: ServerOptions) -> None:
        """Go by these options from now on."""
        pool: PoolOptions = cluster.config.pool
        self._cluster = cluster
        self.options = options
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

    # --- which one, and new ones

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
            server = self._connect(call.db, call.resp, portion, servers)
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
            call.on_complete(lambda ended: server.give_back())
        elif caller is not None:
            caller.placed = server
        return server

    def _connect(self, db: int, resp: int, portion: Portion, servers: list[RedisServer]) -> RedisServer:
        """Make one more connection, whose place is taken already, and have it among these.

        :raises MeshError: it was refused at once.
        """
        server = self._new_server(db, resp, portion)
        servers.append(server)
        server.connect()
        error = server.error
        if error is not None:
            raise MeshError(error.kind, error.detail, origin=error.origin, retryable=error.retryable)
        return server

    def _new_server(self, db: int, resp: int, portion: Portion) -> RedisServer:
        raise NotImplementedError

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

    # --- their end

    def _sweep(self) -> bool:
        """Close what has been idle for too long; returns whether any is left."""
        now = self.now()
        for each in self.servers:
            if not each.queue and not each.taken and each.idle_since and now - each.idle_since >= self.idle_timeout:
                each.close()
        return self.open > 0

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
