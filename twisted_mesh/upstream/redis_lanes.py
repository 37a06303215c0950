"""The connections to one endpoint that clients have for themselves: bounded, and used again where they are clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Hashable, Optional

from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import pack
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.policy.redis_errors import OK
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.redis_session import Session
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.connections import Portion
from twisted_mesh.upstream.redis_lane import RedisLane

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.interfaces import Env
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

Send = Callable[[RedisCall, "Endpoint"], Pending]
Greeting = Callable[[int, int], "list[tuple[list[str], bool]]"]
# Seconds in which a server has to say something about one of these connections.
ASKED_LIMIT = 5.0


class LanePool:
    """Lends connections of one endpoint.

    :param greeting: what a new connection says first, for a database and a version, as `redis_greeting.greeting`.
    :param moved: is called when a server says that a key is elsewhere.
    :param send: sends a call to the endpoint over a connection that all share.
    :param priority: that of the commands, where connections for them have a limit of their own.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cluster: Cluster,
        env: Env,
        connector: Connector,
        cells: UpstreamCells,
        greeting: Greeting,
        moved: Callable[[], None],
        send: Send,
        priority: Optional[int] = None,
    ) -> None:
        self.endpoint = endpoint
        self.connector = connector
        self.cells = cells
        self.now: Callable[[], float] = env.now
        self.draining = False
        # For the metrics: nobody waits here for a connection.
        self.waiting: tuple[Any, ...] = ()
        self.idle: list[RedisLane] = []
        self._lanes: set[RedisLane] = set()
        self._priority = priority
        self._portion = Portion(self._spare)
        self._sweep = Sweep(env.clock)
        self._sweep.add(self._look)
        self.configure(cluster, greeting, moved, send)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<LanePool {state}{self.open} open, {len(self.idle)} idle>"

    def configure(self, cluster: Cluster, greeting: Greeting, moved: Callable[[], None], send: Send) -> None:
        """Go by this cluster's options from now on."""
        self.greeting = greeting
        self.moved = moved
        self._send_shared = send
        pool = cluster.config.pool
        self._cluster = cluster
        self.connect_timeout = cluster.connect_timeout
        self._limit = pool.max_connections
        self._most_idle = pool.max_idle
        self._idle_timeout = pool.idle_timeout
        self._portion.share(cluster.connection_limits.of(self._priority), self.open)

    @property
    def cluster(self) -> str:
        """The name of the cluster that they belong to."""
        return self._cluster.name

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._lanes)

    def lend(self, session: Session, group: Hashable, db: int, resp: int) -> RedisLane:
        """Return a connection for a session alone; it may not be connected yet.

        :raises MeshError: `Kind.OVERFLOW`: all are taken.
        """
        lane = self._idle_one(db, resp)
        if lane is None:
            if self.open >= self._limit and self.idle:
                self.idle[0].end()
            if self.open >= self._limit or not (self._portion.take() or (self._spare() and self._portion.take())):
                self.cells.overflows.value += 1
                detail = f"{self.endpoint.address}: all of {self.open} connections of clients' own are taken"
                raise MeshError(Kind.OVERFLOW, detail)
            lane = RedisLane(self, db, resp, self.now())
            self._lanes.add(lane)
        self._sweep.wake()
        lane.session = session
        lane.group = group
        session.lanes[group] = lane
        return lane

    def _spare(self) -> bool:
        if not self.idle:
            return False
        self.idle[0].end()
        return True

    def _idle_one(self, db: int, resp: int) -> Optional[RedisLane]:
        for lane in reversed(self.idle):
            if (lane.db, lane.resp) == (db, resp):
                self.idle.remove(lane)
                return lane
        return None

    # --- what lanes call

    def began(self, pending: Pending) -> None:
        """A command is sent."""
        pending.began = pending.call.connected = self.now()
        self.endpoint.active += 1

    def ended(self, pending: Pending, error: Optional[MeshError], said: int = OK) -> None:
        """It has its reply, or failed: count it.

        :param said: what the reply says of the server, as `redis_errors.verdict`.
        """
        endpoint = self.endpoint
        endpoint.active -= 1
        seconds = self.now() - pending.began
        kind = None
        if error is None:
            if said == OK:
                endpoint.successes += 1
            else:
                endpoint.failures += 1
            self.cells.ended(0, None, seconds)
        else:
            self.cells.ended(0, error.flag, seconds)
            kind = error.kind if error.origin is Origin.UPSTREAM else Kind.INTERNAL
            endpoint.failures += error.origin is Origin.UPSTREAM
        if endpoint.conduct is not None:
            endpoint.conduct.ended(pending.call, said, kind, seconds)

    def ask(self, words: list[bytes]) -> Pending:
        """Ask the endpoint something about one of these connections, over another one.

        :raises MeshError: that did not even begin.
        """
        command = find(words[0], words[1])
        assert command is not None, "it is in the table"
        data = pack(words)
        call = RedisCall("", command, [(words[0], words[1], len(words), 0, len(data))], data, data)
        call.cluster, call.endpoint = self._cluster, self.endpoint
        call.started = call.received = self.now()
        call.timeout = ASKED_LIMIT
        return self._send_shared(call, self.endpoint)

    def not_connected(self, error: MeshError) -> None:
        """A connection could not be made."""
        self.endpoint.not_connected(error, self.cells)
        if error.origin is Origin.UPSTREAM:
            self._cluster.unreachable(self.endpoint)

    def give_back(self, lane: RedisLane) -> None:
        """A connection is free again."""
        if lane.lost:
            return
        if self.draining or len(self.idle) >= self._most_idle or self._portion.wanted:
            lane.end()
            return
        lane.idle_since = self.now()
        self.idle.append(lane)

    def lost(self, lane: RedisLane) -> None:
        """A connection is gone."""
        if lane in self.idle:
            self.idle.remove(lane)
        if lane in self._lanes:
            self._lanes.discard(lane)
            self._portion.give()
            self._maybe_leave()

    def _maybe_leave(self) -> None:
        """A pool that is done with shares nothing more."""
        if self.draining and not self._lanes:
            self._portion.share(None, 0)

    # --- time

    def _look(self) -> bool:
        now = self.now()
        for lane in list(self._lanes):
            if lane in self.idle:
                if now - lane.idle_since >= self._idle_timeout:
                    lane.end()
            else:
                lane.look(now)
        return bool(self._lanes)

    def drain(self) -> None:
        """Close what is idle, and the rest when it comes back."""
        self.draining = True
        for lane in list(self.idle):
            lane.end()
        self._maybe_leave()
