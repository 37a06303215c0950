"""The room of a cluster: how many calls it has at once, and how many wait for their turn.

What one cluster cannot take must not use up what the others need: connections, memory, the clients' patience.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Awaitable, NamedTuple

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.metrics import Cell
from twisted_mesh.park import Parked

if TYPE_CHECKING:
    from twisted_mesh.model.resilience import Limits
    from twisted_mesh.upstream.cluster import Cluster


class _Waiting(NamedTuple):
    call: Call
    parked: Parked[None]


class Room:
    """Counts the calls of one cluster, each from its first try until its last byte.

    `held` are those it has, `waiting` those that wait, in the order in which they came.
    """

    __slots__ = ("_active", "_env", "_limits", "_name", "_queued", "held", "waiting")

    def __init__(self, cluster: str, limits: Limits, env: Env) -> None:
        families = Families(env.metrics)
        self.held: set[Call] = set()
        self.waiting: deque[_Waiting] = deque()
        self._name = cluster
        self._env = env
        self._limits = limits
        self._active = families.cluster_calls.labels(cluster)
        self._queued = families.cluster_waiting.labels(cluster)

    def __repr__(self) -> str:
        return f"<Room of {self._name}: {len(self.held)} of {self._limits.calls} calls, {len(self.waiting)} waiting>"

    def configure(self, limits: Limits) -> None:
        """Go by these limits from now on; what is there stays."""
        self._limits = limits
        self._next()

    def take(self, call: Call) -> bool:
        """Take a call in if there is room and nobody waits; returns whether it is in."""
        if call in self.held:
            return True
        if self.waiting or len(self.held) >= self._limits.calls:
            return False
        self._enter(call)
        return True

    async def wait(self, call: Call, overflows: Cell) -> None:
        """Wait for a turn.

        :param overflows: counts those who get none.
        :raises MeshError: `Kind.OVERFLOW`: too many wait already, or it took too long.
        """
        limits = self._limits
        if len(self.waiting) >= limits.waiting:
            overflows.value += 1
            detail = f"cluster {self._name} has {len(self.held)} calls, and {len(self.waiting)} wait"
            raise MeshError(Kind.OVERFLOW, detail)
        entry = _Waiting(call, Parked())
        self.waiting.append(entry)
        self._queued.value = len(self.waiting)
        timer = self._env.clock.callLater(limits.wait, self._waited_too_long, entry, limits.wait, overflows)
        try:
            await entry.parked
        finally:
            if timer.active():
                timer.cancel()
            self._forget(entry)

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        limits = self._limits
        return {
            "calls": len(self.held),
            "waiting": len(self.waiting),
            "limits": {"calls": limits.calls, "waiting": limits.waiting, "wait": limits.wait},
        }

    def _enter(self, call: Call) -> None:
        self.held.add(call)
        self._active.value = len(self.held)
        call.on_complete(self._leave)

    def _leave(self, call: Call) -> None:
        self.held.discard(call)
        self._active.value = len(self.held)
        if self.waiting:
            self._next()

    def _next(self) -> None:
        while self.waiting and len(self.held) < self._limits.calls:
            entry = self.waiting.popleft()
            self._queued.value = len(self.waiting)
            self._enter(entry.call)
            entry.parked.fire(None)

    def _forget(self, entry: _Waiting) -> bool:
        if entry not in self.waiting:
            return False
        self.waiting.remove(entry)
        self._queued.value = len(self.waiting)
        return True

    def _waited_too_long(self, entry: _Waiting, longest: float, overflows: Cell) -> None:
        if self._forget(entry):
            overflows.value += 1
            detail = f"cluster {self._name} had no room within {longest:g} s"
            entry.parked.fail(MeshError(Kind.OVERFLOW, detail))


class Limited:
    """Sends calls on when their cluster has room for them; a `Proceed`, round the one of a protocol."""

    __slots__ = ("_cluster", "_forward", "_overflows")

    def __init__(self, cluster: Cluster, protocol: str, forward: Proceed) -> None:
        self._cluster = cluster
        self._forward = forward
        self._overflows = Families(cluster.env.metrics).upstream(protocol, cluster.name).overflows

    def __repr__(self) -> str:
        return f"<Limited {self._cluster.room!r}>"

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Send the call.

        :raises MeshError: `Kind.OVERFLOW`, or as what is inside.
        """
        room = self._cluster.room
        assert room is not None
        return self._forward(call) if room.take(call) else self._wait(room, call)

    async def _wait(self, room: Room, call: Call) -> Reply:
        await room.wait(call, self._overflows)
        return await self._forward(call)
