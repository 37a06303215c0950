"""The innermost layer of a Redis chain: which server gets which command."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Optional, cast

from twisted_mesh.call import Call
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.redis_servers import RedisServers
from twisted_mesh.redis_call import Pending, RedisCall
from twisted_mesh.upstream.redis_greeting import greeting
from twisted_mesh.upstream.redis_group import Zone, no_zone
from twisted_mesh.upstream.redis_pool import SESSIONS, RedisPool, ServerOptions
from twisted_mesh.upstream.redis_scatter import Scatter
from twisted_mesh.upstream.redis_topology import Sharded, Topology

if TYPE_CHECKING:
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_lanes import LanePool
    from twisted_mesh.upstream.redis_sessions import Sessions

PROTOCOL = "redis"


class RedisForward:
    """Sends Redis commands to the servers of one cluster; its `Proceed` for that protocol.

    It is no coroutine: what it returns is what the server's connection fires.
    """

    def __init__(self, cluster: Cluster, connector: Connector, env: Env, zone: Zone = no_zone) -> None:
        self.cluster = cluster
        self._connector = connector
        self._env = env
        self._cells = Families(env.metrics).upstream(PROTOCOL, cluster.name)
        self._config: RedisServers = cluster.config.redis or RedisServers.model_construct()
        self.topology = topology_of(cluster, self._config, zone, connector)
        self._scatter: Optional[Scatter] = None
        if self.topology is not None:
            self._scatter = Scatter(self.topology, self.send, env.random.random)
            cluster.details[PROTOCOL] = self.topology.describe

        self._sessions: Optional[Sessions] = None

    def __repr__(self) -> str:
        return f"<RedisForward to {self.cluster!r}>"

    def __call__(self, call: Call) -> Pending:
        """Send the call to one server.

        :raises MeshError: what went wrong at once; what goes wrong later comes out of what is returned.
        """
        call.attempts += 1
        if call.session is not None:  # type: ignore[attr-defined]  # all of these calls are of Redis
            return self._of_session(cast(RedisCall, call))
        if self._scatter is not None:
            if self.cluster.switch.on:
                self.cluster.switch.check()
            return self._scatter(cast(RedisCall, call))
        call.endpoint = endpoint = self.cluster.picks.pick(call)
        # Written out, and without casts: this is what each command runs through.
        pool: RedisPool = endpoint.pools.get(PROTOCOL) or self._new_pool(endpoint)  # type: ignore[assignment]
        return pool.send(call)  # type: ignore[arg-type]

    def send(self, call: RedisCall, endpoint: Endpoint) -> Pending:
        """Send the call to this server.

        :raises MeshError: as above.
        """
        pool = cast("RedisPool | None", endpoint.pools.get(PROTOCOL)) or self._new_pool(endpoint)
        return pool.send(call)

    def _of_session(self, call: RedisCall) -> Pending:
        if self.cluster.switch.on:
            self.cluster.switch.check()
        if self._sessions is None:
            # Imported when the first client has a transaction, a subscription or the like.
            from twisted_mesh.upstream.redis_sessions import Sessions

            self._sessions = Sessions(self.cluster, self.topology, self._lanes_of)
        return self._sessions(call)

    def _lanes_of(self, endpoint: Endpoint, priority: int) -> LanePool:
        from twisted_mesh.upstream.redis_lanes import LanePool

        name = SESSIONS + self.cluster.connection_limits.label(priority)
        pool = endpoint.pools.get(name)
        if not isinstance(pool, LanePool):
            pool = LanePool(
                endpoint,
                self.cluster,
                self._env,
                self._connector,
                self._cells,
                partial(greeting, self.options),
                partial(self._moved, endpoint),
                priority,
            )
            endpoint.pools[name] = pool
        return pool

    def _moved(self, endpoint: Endpoint) -> None:
        if self.topology is not None:
            self.topology.doubt(endpoint)

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
            read_only=self.topology is not None and self.topology.read_only,
        )

    def _new_pool(self, endpoint: Endpoint) -> RedisPool:
        soon = self._connector.loop.call_soon
        pool = RedisPool(endpoint, self.cluster, self.options, self._env, self._connector, self._cells, soon)
        endpoint.pools[PROTOCOL] = pool
        return pool

    def start(self) -> None:
        """Have the connections that endpoints bring along from the cluster before go by this cluster's options."""
        for endpoint in self.cluster.endpoints:
            pool = endpoint.pools.get(PROTOCOL)
            if isinstance(pool, RedisPool):
                pool.configure(self.cluster, self.options)
            self._take_over_lanes(endpoint)
        if self.topology is not None:
            self.topology.start()

    def _take_over_lanes(self, endpoint: Endpoint) -> None:
        """Have clients' own connections go by this cluster's options; those of priorities that share now are let go."""
        names = [name for name in endpoint.pools if name.startswith(SESSIONS)]
        if not names:
            return
        from twisted_mesh.upstream.redis_lanes import LanePool

        limits = self.cluster.connection_limits
        known = (SESSIONS, *(SESSIONS + limits.label(each) for each in limits.own))
        for name in names:
            pool = endpoint.pools[name]
            assert isinstance(pool, LanePool), "they are of this kind by their name"
            if name in known:
                pool.configure(self.cluster, partial(greeting, self.options), partial(self._moved, endpoint))
            else:
                del endpoint.pools[name]
                pool.drain()

    def stop(self) -> None:
        """Pools look after themselves, until their endpoints drain."""
        if self.topology is not None:
            self.topology.stop()


def topology_of(cluster: Cluster, config: RedisServers, zone: Zone, connector: Connector) -> Optional[Topology]:
    """Return where keys are in a cluster; None if each of its servers has all of them."""
    if config.topology == "single":
        return None
    if config.topology == "sharded":
        return Sharded(cluster, config, zone)
    # Each is imported where it is needed: they bring along what asks servers.
    if config.topology == "cluster":
        from twisted_mesh.upstream.redis_slots import Slots

        return Slots(cluster, config, zone, connector)
    from twisted_mesh.upstream.redis_replicated import Replicated, Sentinels

    kind = Sentinels if config.topology == "sentinel" else Replicated
    return kind(cluster, config, zone, connector)
