"""The connections to the servers of one Redis cluster: shared ones, and those that clients have for themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Optional, cast

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.redis_servers import RedisServers
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.redis_connections import SESSIONS
from twisted_mesh.upstream.redis_greeting import ServerOptions, greeting
from twisted_mesh.upstream.redis_pool import RedisPool
from twisted_mesh.upstream.redis_topology import Topology

if TYPE_CHECKING:
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_lanes import LanePool

PROTOCOL = "redis"


class Pools:
    """Finds the connections to each endpoint of a cluster, and makes those that are not there."""

    def __init__(
        self, cluster: Cluster, config: RedisServers, topology: Optional[Topology], connector: Connector, env: Env
    ) -> None:
        self._cluster = cluster
        self._config = config
        self._topology = topology
        self._connector = connector
        self._env = env
        self.cells = Families(env.metrics).upstream(PROTOCOL, cluster.name)

    def __repr__(self) -> str:
        return f"<Pools of {self._cluster!r}>"

    def send(self, call: RedisCall, endpoint: Endpoint) -> Pending:
        """Send the call to this server.

        :raises MeshError: what went wrong at once.
        """
        pool = cast("RedisPool | None", endpoint.pools.get(PROTOCOL)) or self.new_pool(endpoint)
        return pool.send(call)

    def new_pool(self, endpoint: Endpoint) -> RedisPool:
        """Make the shared connections to a server, of which there are none yet."""
        soon = self._connector.loop.call_soon
        pool = RedisPool(endpoint, self._cluster, self.options, self._env, self._connector, self.cells, soon)
        endpoint.pools[PROTOCOL] = pool
        return pool

    def lanes_of(self, endpoint: Endpoint, priority: int) -> LanePool:
        """Return the clients' own connections to a server, of one priority."""
        from twisted_mesh.upstream.redis_lanes import LanePool

        name = SESSIONS + self._cluster.connection_limits.label(priority)
        pool = endpoint.pools.get(name)
        if not isinstance(pool, LanePool):
            pool = LanePool(
                endpoint,
                self._cluster,
                self._env,
                self._connector,
                self.cells,
                partial(greeting, self.options),
                partial(self._moved, endpoint),
                self.send,
                priority,
            )
            endpoint.pools[name] = pool
        return pool

    def _moved(self, endpoint: Endpoint) -> None:
        if self._topology is not None:
            self._topology.doubt(endpoint)

    @property
    def options(self) -> ServerOptions:
        """How servers are spoken to."""
        config = self._config
        return ServerOptions(
            connections=config.connections,
            in_flight=config.in_flight,
            silence=config.silence,
            username=config.username,
            password=config.password,
            db=config.db,
        )

    def take_over(self) -> None:
        """Have the connections that endpoints bring along from the cluster before go by this cluster's options."""
        for endpoint in self._cluster.endpoints:
            pool = endpoint.pools.get(PROTOCOL)
            if isinstance(pool, RedisPool):
                pool.configure(self._cluster, self.options)
            self._take_over_lanes(endpoint)

    def _take_over_lanes(self, endpoint: Endpoint) -> None:
        """Have clients' own connections go by this cluster's options; those of priorities that share now are let go."""
        names = [name for name in endpoint.pools if name.startswith(SESSIONS)]
        if not names:
            return
        from twisted_mesh.upstream.redis_lanes import LanePool

        limits = self._cluster.connection_limits
        known = (SESSIONS, *(SESSIONS + limits.label(each) for each in limits.own))
        for name in names:
            pool = endpoint.pools[name]
            assert isinstance(pool, LanePool), "they are of this kind by their name"
            if name in known:
                speak, moved = partial(greeting, self.options), partial(self._moved, endpoint)
                pool.configure(self._cluster, speak, moved, self.send)
            else:
                del endpoint.pools[name]
                pool.drain()
