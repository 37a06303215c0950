"""The innermost layer of a Redis chain: which server gets which command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, cast

from twisted_mesh.call import Call
from twisted_mesh.errors import MeshError
from twisted_mesh.interfaces import Env
from twisted_mesh.model.redis_servers import RedisServers
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.redis_group import Zone, no_zone
from twisted_mesh.upstream.redis_pools import PROTOCOL, Pools
from twisted_mesh.upstream.redis_scatter import Scatter
from twisted_mesh.upstream.redis_spread import Spread
from twisted_mesh.upstream.redis_topology import Sharded, Topology
from twisted_mesh.weakly import weakly

if TYPE_CHECKING:
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.redis_pool import RedisPool
    from twisted_mesh.upstream.redis_sessions import Sessions


class RedisForward:
    """Sends Redis commands to the servers of one cluster; its `Proceed` for that protocol.

    It is no coroutine: what it returns is what the server's connection fires.
    """

    def __init__(self, cluster: Cluster, connector: Connector, env: Env, zone: Zone = no_zone) -> None:
        self.cluster = cluster
        config: RedisServers = cluster.config.redis or RedisServers.model_construct()
        self.topology = topology_of(cluster, config, zone, connector)
        self._pools = Pools(cluster, config, self.topology, connector, env)
        self.cells = self._pools.cells
        self._scatter: Optional[Scatter] = None
        if self.topology is not None:
            self._scatter = Scatter(self.topology, self._pools.send, env.random.random)
            cluster.details[PROTOCOL] = weakly(self.topology.describe)
        #: The short way to shards; None where there are none.
        self.spread: Optional[Spread] = None
        if isinstance(self.topology, Sharded):
            self.spread = Spread(self.topology, self._pools.send)
        self._sessions: Optional[Sessions] = None

    def __repr__(self) -> str:
        return f"<RedisForward to {self.cluster!r}>"

    def __call__(self, call: Call) -> Pending:
        """Send the call to one server.

        :raises MeshError: what went wrong at once; what goes wrong later comes out of what is returned.
        """
        call.attempts += 1
        if call.held is not None:  # type: ignore[attr-defined]  # all of these calls are of Redis
            call.held()  # type: ignore[attr-defined]
        if call.session is not None:  # type: ignore[attr-defined]
            return self._of_session(cast(RedisCall, call))
        if self._scatter is not None:
            if self.cluster.switch.on:
                self.cluster.switch.check()
            return self._scatter(cast(RedisCall, call))
        call.endpoint = endpoint = self.cluster.picks.pick(call)
        # Written out, and without casts: this is what each command runs through.
        pool: RedisPool = endpoint.pools.get(PROTOCOL) or self._pools.new_pool(endpoint)  # type: ignore[assignment]
        return pool.send(call)  # type: ignore[arg-type]

    def straight(self, pending: Pending) -> bool:
        """Send one command that is no call yet, of a client of database 0 and RESP2, if nothing else is to be done.

        :returns: whether it was sent; if not, it is to be called with the call that it is made.
        """
        picks = self.cluster.picks
        if picks.special or self._scatter is not None:
            return False
        try:
            endpoint = picks.next()
        except MeshError:
            # There is none.
            return False
        pool: Any = endpoint.pools.get(PROTOCOL)
        if pool is not None and pool.straight(pending):
            return True
        # The call has the turn: with two in turn all calls would go to the same one else.
        picks.put_back(endpoint)
        return False

    def _of_session(self, call: RedisCall) -> Pending:
        if self.cluster.switch.on:
            self.cluster.switch.check()
        if self._sessions is None:
            # Imported when the first client has a transaction, a subscription or the like.
            from twisted_mesh.upstream.redis_sessions import Sessions

            scripts = None if self._scatter is None else self._scatter.scripts
            self._sessions = Sessions(self.cluster, self.topology, self._pools.lanes_of, scripts)
        if self._scatter is not None:
            # Transactions and what waits for elements may write.
            self._scatter.writes(call)
        return self._sessions(call)

    def start(self) -> None:
        """Have the connections that endpoints bring along from the cluster before go by this cluster's options."""
        self._pools.take_over()
        if self.topology is not None:
            self.topology.start()

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
