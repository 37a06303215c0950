"""The innermost layer of an HTTP chain: pick an endpoint, send the call, return the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.response import ResponseReader
from twisted_mesh.errors import FLAGS, Cancelled, Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env
from twisted_mesh.stream import ByteStream
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.http_link import HttpLink
from twisted_mesh.upstream.http_lost import StaleConnection
from twisted_mesh.upstream.http_tunnel import HttpTunnel
from twisted_mesh.upstream.pool import HttpPool

if TYPE_CHECKING:
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

# What says that an endpoint cannot be connected to.
UNREACHABLE = (Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT)
# What a cancellation says whose time ran out before there was a reply.
_LATE = (Kind.TIMEOUT, Kind.TRY_TIMEOUT)
PROTOCOL = "http"
# Seconds between two looks for connections that have been idle for too long.
_IDLE_LOOK = 1.0


class HttpForward:
    """Sends HTTP calls to the endpoints of one cluster; its `Proceed` for that protocol.

    :param priority: that of its calls, where connections for them have a limit of their own; None: it has all others.
    """

    def __init__(self, cluster: Cluster, connector: Connector, env: Env, priority: Optional[int] = None) -> None:
        self.cluster = cluster
        self._picks = cluster.picks
        self._priority = priority
        # What endpoints know its pools by.
        self._pool = PROTOCOL + cluster.connection_limits.label(priority)
        self._connector = connector
        self._env = env
        self._now = env.now
        self._cells = Families(env.metrics).upstream(PROTOCOL, cluster.name)
        self._reader = ResponseReader()
        self._sweep = Sweep(env.clock, _IDLE_LOOK)
        self._sweep.add(self._look)

    def __repr__(self) -> str:
        return f"<HttpForward to {self.cluster!r}>"

    async def __call__(self, call: Call) -> Reply:
        """Send the call to one endpoint.

        A kept connection that the endpoint closes just as the request goes out is no fault of anybody: if no byte of a
        reply came and the request can be replayed, it is sent once more, on a new connection.

        :raises MeshError: what went wrong, and whether trying again is safe.
        """
        if call.body_limit is not None:
            call.check_body()
        call.endpoint = endpoint = self._picks.pick(call)
        pool: HttpPool = endpoint.pools.get(self._pool) or self._new_pool(endpoint)  # type: ignore[assignment]
        endpoint.active += 1
        call.attempts += 1
        began = self._now()
        status, flag, held = 0, None, True
        kind: Optional[Kind] = Kind.INTERNAL
        headers: Optional[Headers] = None
        connection: Optional[HttpLink] = None
        try:
            if pool.idle:
                connection = pool.idle.pop()
                call.connected = began
            else:
                connection = await pool.connect()
                call.connected = self._now()
            try:
                reply = await connection.send(call)
            except StaleConnection:
                connection = None
                connection = await self._again(call, pool)
                reply = await connection.send(call)
            status, kind, headers = reply.status, None, reply.headers
            if type(reply.body) is not bytes or reply.tunnel is not None:
                held = False
                self._hold(endpoint, reply, call)
            if status < 500:
                endpoint.successes += 1
            else:
                endpoint.failures += 1
            return reply
        except MeshError as error:
            flag = error.flag
            kind = self._blame(endpoint, error)
            raise
        except BaseException as error:
            # Nobody waits for this reply any more, so the server need not go on with it.
            kind, flag = _given_up(endpoint, error)
            if connection is not None:
                connection.abort()
            raise
        finally:
            endpoint.active -= held
            seconds = self._now() - began
            self._cells.ended(status, flag, seconds)
            if endpoint.conduct is not None:
                endpoint.conduct.ended(call, status, kind, seconds, headers)

    def _blame(self, endpoint: Endpoint, error: MeshError) -> Kind:
        """Count an error against the endpoint if it caused it; returns what that says of the endpoint."""
        if error.origin is not Origin.UPSTREAM:
            return Kind.INTERNAL
        endpoint.failures += 1
        if error.kind in UNREACHABLE:
            self.cluster.unreachable(endpoint)
        return error.kind

    def _hold(self, endpoint: Endpoint, reply: Reply, call: Call) -> None:
        """Count the call as active at its endpoint until its body has ended.

        A filter may drop the reply; when the call ends, no connection is kept for a reader that will not come.
        """
        body = reply.body
        if isinstance(body, ByteStream):
            if body.closed:
                # Where the chain runs in a task, which wakes a turn of the loop later, all of it may be here.
                _let_go(endpoint)
            else:
                body.on_end = lambda stream: _let_go(endpoint)
            call.on_complete(lambda ended: body.cancel())
        else:
            call.on_complete(lambda ended: _let_go(endpoint))
            assert isinstance(reply.tunnel, HttpTunnel)
            tunnel = reply.tunnel
            call.on_complete(lambda ended: tunnel.drop())

    async def _again(self, call: Call, pool: HttpPool) -> HttpLink:
        """Return a new connection for a request that a kept one has lost."""
        if isinstance(call.body, ByteStream) and not call.body.untouched:
            call.body.rewind()
        connection = await pool.connect()
        call.connected = self._now()
        return connection

    def _new_pool(self, endpoint: Endpoint) -> HttpPool:
        cluster = self.cluster
        pool = HttpPool(
            endpoint,
            cluster.config.pool,
            cluster.connect_timeout,
            self._env,
            self._connector,
            self._reader,
            self._cells,
            cluster.connection_limits.of(self._priority),
        )
        endpoint.pools[self._pool] = pool
        self._sweep.wake()
        return pool

    def _look(self) -> bool:
        now = self._now()
        pools = [each.pools.get(self._pool) for each in self.cluster.endpoints]
        for pool in pools:
            if isinstance(pool, HttpPool):
                pool.sweep(now)
        return any(pool is not None for pool in pools)

    def start(self) -> None:
        """Look after the connections that endpoints bring along from the cluster before, by this cluster's options."""
        config, limits = self.cluster.config, self.cluster.connection_limits
        for endpoint in self.cluster.endpoints:
            pool = endpoint.pools.get(self._pool)
            if isinstance(pool, HttpPool):
                pool.configure(config.pool, self.cluster.connect_timeout, limits.of(self._priority))
                self._sweep.wake()
            if self._pool == PROTOCOL:
                self._end_others(endpoint)

    def _end_others(self, endpoint: Endpoint) -> None:
        """Let go of the connections that calls of a priority had for themselves and have no more."""
        limits = self.cluster.connection_limits
        known = (PROTOCOL, *(PROTOCOL + limits.label(each) for each in limits.own))
        for name, pool in list(endpoint.pools.items()):
            if isinstance(pool, HttpPool) and name not in known:
                del endpoint.pools[name]
                pool.drain()

    def stop(self) -> None:
        """Stop looking after idle connections; for a cluster that is given up."""
        self._sweep.stop()


def _given_up(endpoint: Endpoint, error: BaseException) -> tuple[Kind, Optional[str]]:
    """Return what it says of the endpoint that a try was given up, and its flag; count it against the endpoint."""
    if not isinstance(error, Cancelled) or error.queued:
        return Kind.INTERNAL, None
    endpoint.failures += error.kind in _LATE
    return error.kind, FLAGS[error.kind]


def _let_go(endpoint: Endpoint) -> None:
    endpoint.active -= 1
