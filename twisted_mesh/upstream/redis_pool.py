"""What one Redis server is sent, and how that is counted.

Nearly every command goes over one connection (`redis_connections` says when over another), so that is looked at first,
and little is called on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from twisted_mesh.codec.commands import Command, find
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.policy.redis_errors import OK
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.redis_connections import SharedConnections
from twisted_mesh.upstream.redis_greeting import ServerOptions
from twisted_mesh.upstream.redis_server import RedisServer

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.interfaces import Env
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.connections import Portion
    from twisted_mesh.upstream.endpoint import Endpoint

PING: Command = find(b"PING")  # type: ignore[assignment]  # there is one
# Where connections for database 0 in RESP2 are kept.
_USUAL = 0 << 2 | 2


class RedisPool(SharedConnections):
    """Sends commands to one endpoint.

    :param soon: has something done before the loop waits again.
    """

    __slots__ = ("__weakref__", "_in_flight", "_late", "_watched", "silence", "soon")

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
        super().__init__(endpoint, cluster, options, env, connector, cells)
        self.soon = soon
        # Whether `_late` looks at what waits.
        self._watched = False
        self._late = Sweep(env.clock)
        self._late.add(self._look)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<RedisPool {state}{self.open} open, {sum(each.commands for each in self.servers)} commands in flight>"

    def configure(self, cluster: Cluster, options: ServerOptions) -> None:
        """Go by these options from now on."""
        super().configure(cluster, options)
        self.silence = options.silence
        self._in_flight = options.in_flight

    def _new_server(self, db: int, resp: int, portion: Portion) -> RedisServer:
        return RedisServer(self, db, resp, portion)

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
            if server.commands + call.count > self._in_flight:
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

    def open_for_all(self) -> bool:
        """Whether `straight` would send something now."""
        servers = self._servers.get(_USUAL)
        if not servers or len(servers) != 1 or self._shared != 1 or self.endpoint.conduct is not None:
            return False
        server = servers[0]
        return server.ready and not (server.held or server.taken or server.commands >= self._in_flight)

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

    # --- what is in flight

    def _look(self) -> bool:
        """See what has waited for too long; returns whether anything waits."""
        now, busy = self.now(), False
        for each in self.servers:
            if each.queue:
                busy = True
                each.look(now)
        self._watched = busy
        return busy

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
