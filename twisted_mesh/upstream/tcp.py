"""The innermost layer of a TCP chain: pick an endpoint, connect, hand the connection over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.cells import UpstreamCells
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.net.side import Side
from twisted_mesh.upstream.connections import Connections, Queue

if TYPE_CHECKING:
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

PROTOCOL = "tcp"


class TcpForward:
    """Connects TCP calls to the endpoints of one cluster; its `Proceed` for that protocol.

    The reply's tunnel is a `Side`: its socket may be taken whole, or its bytes be read as the reply's body.
    """

    def __init__(self, cluster: Cluster, connector: Connector, env: Env) -> None:
        self.cluster = cluster
        self._connector = connector
        self._now = env.now
        self._env = env
        self._cells = Families(env.metrics).upstream(PROTOCOL, cluster.name)
        # Those who wait for a place, one for each limit there is.
        self._queues: dict[Connections, Queue] = {}

    def __repr__(self) -> str:
        return f"<TcpForward to {self.cluster!r}>"

    async def __call__(self, call: Call) -> Reply:
        """Connect the call to one endpoint.

        The endpoint counts as having an active call until the call completes or the tunnel is ended.

        :raises MeshError: it cannot be connected; trying again is always safe.
        """
        connections = self.cluster.connection_limits.of(call.priority)
        give = None if connections is None else await self._enter(connections)
        try:
            endpoint = self.cluster.pick(call)
        except BaseException:
            if give is not None:
                give()
            raise
        call.endpoint = endpoint
        call.attempts += 1
        hold = _Hold(endpoint, self._cells, give)
        began = self._now()
        try:
            sock = await self._connector.connect_socket(endpoint.target, self.cluster.connect_timeout)
        except MeshError as error:
            hold.release()
            self._count(endpoint, error)
            seconds = self._now() - began
            self._cells.ended(0, error.flag, seconds)
            if endpoint.conduct is not None:
                kind = error.kind if error.origin is Origin.UPSTREAM else Kind.INTERNAL
                endpoint.conduct.ended(call, 0, kind, seconds)
            raise
        except BaseException as error:
            hold.release()
            if endpoint.conduct is not None:
                kind = error.kind if isinstance(error, Cancelled) else Kind.INTERNAL
                endpoint.conduct.ended(call, 0, kind, self._now() - began)
            raise
        call.connected = self._now()
        if endpoint.conduct is not None:
            endpoint.conduct.ended(call, 0, None, call.connected - began)
        endpoint.successes += 1
        self._cells.connects.value += 1
        self._cells.ended(0, None, call.connected - began)
        call.on_complete(hold.release)
        tunnel = Side(self._connector.loop, sock, Kind.RESET, endpoint.address)
        tunnel.on_aborted = hold.release
        return Reply(tunnel=tunnel, body=tunnel.body())

    async def _enter(self, connections: Connections) -> Callable[[], None]:
        """Wait for a place among the connections of the cluster; returns what gives it back."""
        queue = self._queues.get(connections)
        if queue is None:
            queue = self._queues[connections] = Queue(connections, self._env, self._cells.overflows)
        pool = self.cluster.config.pool
        longest = self.cluster.connect_timeout if pool.pending_timeout is None else pool.pending_timeout
        return await queue.enter(pool.max_pending, longest)

    def _count(self, endpoint: Endpoint, error: MeshError) -> None:
        if error.origin is Origin.UPSTREAM:
            endpoint.failures += 1
            self.cluster.unreachable(endpoint)
        endpoint.not_connected(error, self._cells)

    def start(self) -> None:
        """Nothing is there that would have to be taken over."""

    def stop(self) -> None:
        """Nothing is kept that would have to be given back but a place in the queue."""
        for each in self._queues.values():
            each.stop()


class _Hold:
    """One call that an endpoint has."""

    __slots__ = ("_cells", "_endpoint", "_give", "_held")

    def __init__(self, endpoint: Endpoint, cells: UpstreamCells, give: Optional[Callable[[], None]]) -> None:
        self._endpoint = endpoint
        self._cells = cells
        self._give = give
        self._held = True
        endpoint.active += 1
        cells.active.value += 1

    def release(self, ended: Any = None) -> None:
        if self._held:
            self._held = False
            self._endpoint.active -= 1
            self._cells.active.value -= 1
            if self._give is not None:
                self._give()
