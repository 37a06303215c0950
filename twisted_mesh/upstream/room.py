"""The room of a cluster: how many calls it has at once, and how many wait for their turn.

What one cluster cannot take must not use up what the others need: connections, memory, the clients' patience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable, Mapping, NamedTuple, Optional, Union

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.metrics import Cell
from twisted_mesh.park import Parked
from twisted_mesh.policy.line import Line
from twisted_mesh.policy.shedding import NAMES, PRIORITIES

if TYPE_CHECKING:
    from twisted_mesh.model.resilience import Limits, PriorityLimits
    from twisted_mesh.upstream.cluster import Cluster


class _Waiting(NamedTuple):
    call: Call
    parked: Parked[None]
    overflows: Cell


class Room:
    """Counts the calls of one cluster, each from its first try until its last byte.

    `held` are those it has, `waiting` those that wait: the higher priority first, and in the order in which they came.
    `others` are the rooms of the priorities that have limits of their own; calls of those are not counted here.
    """

    __slots__ = ("_active", "_env", "_limits", "_name", "_queued", "held", "others", "waiting")

    def __init__(
        self, cluster: str, limits: Union[Limits, PriorityLimits], env: Env, cells: Optional[tuple[Cell, Cell]] = None
    ) -> None:
        families = Families(env.metrics)
        self.held: set[Call] = set()
        self.waiting: Line[_Waiting] = Line()
        self.others: dict[int, Room] = {}
        self._name = cluster
        self._env = env
        self._limits = limits
        self._active, self._queued = cells or (
            families.cluster_calls.labels(cluster),
            families.cluster_waiting.labels(cluster),
        )
        self._divide(getattr(limits, "priorities", {}))

    def __repr__(self) -> str:
        return f"<Room of {self._name}: {len(self.held)} of {self._limits.calls} calls, {len(self.waiting)} waiting>"

    def configure(self, limits: Union[Limits, PriorityLimits]) -> None:
        """Go by these limits from now on; what is there stays."""
        self._limits = limits
        self._divide(getattr(limits, "priorities", {}))
        self._next()

    def _divide(self, priorities: Mapping[str, PriorityLimits]) -> None:
        """Have a room for each of these priorities; who is or waits in one that is no more goes on there."""
        before, self.others = self.others, {}
        for name, limits in priorities.items():
            known = before.pop(PRIORITIES[name], None)
            if known is None:
                known = Room(f"{self._name}, priority {name}", limits, self._env, _cells(self._env, self._name, name))
            else:
                known.configure(limits)
            self.others[PRIORITIES[name]] = known

    def of(self, call: Call) -> Room:
        """Return the room for calls of this priority."""
        return self.others.get(call.priority, self)

    def take(self, call: Call) -> bool:
        """Take a call in if there is room and nobody waits; returns whether it is in."""
        held = self.held
        if call in held:
            return True
        if self.waiting.count or len(held) >= self._limits.calls:
            return False
        # As `_enter` does, without another call on everybody's way.
        held.add(call)
        self._active.value = len(held)
        call.on_complete(self._leave)
        return True

    async def wait(self, call: Call, overflows: Cell) -> None:
        """Wait for a turn.

        Where too many wait already, the last of those with a lower priority makes room.

        :param overflows: counts those who get none.
        :raises MeshError: `Kind.OVERFLOW`: too many wait already, or it took too long.
        """
        limits = self._limits
        entry = _Waiting(call, Parked(), overflows)
        full = self._full()
        place = self.waiting.join(entry, call.priority, limits.waiting)
        if not place.waits:
            overflows.value += 1
            raise full
        if place.displaced is not None:
            place.displaced.overflows.value += 1
            place.displaced.parked.fail(full)
        self._queued.value = len(self.waiting)
        timer = self._env.clock.callLater(limits.wait, self._waited_too_long, entry, limits.wait)
        try:
            await entry.parked
        finally:
            if timer.active():
                timer.cancel()
            self._forget(entry)

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        limits = self._limits
        shown: dict[str, object] = {
            "calls": len(self.held),
            "waiting": len(self.waiting),
            "limits": {"calls": limits.calls, "waiting": limits.waiting, "wait": limits.wait},
        }
        if self.others:
            shown["priorities"] = {NAMES[each]: room.describe() for each, room in self.others.items()}
        return shown

    def _full(self) -> MeshError:
        detail = f"cluster {self._name} has {len(self.held)} calls, and {len(self.waiting)} wait"
        return MeshError(Kind.OVERFLOW, detail)

    def _enter(self, call: Call) -> None:
        self.held.add(call)
        self._active.value = len(self.held)
        call.on_complete(self._leave)

    def _leave(self, call: Call) -> None:
        self.held.discard(call)
        self._active.value = len(self.held)
        if self.waiting.count:
            self._next()

    def _next(self) -> None:
        while self.waiting and len(self.held) < self._limits.calls:
            entry = self.waiting.first()
            self._queued.value = len(self.waiting)
            self._enter(entry.call)
            entry.parked.fire(None)

    def _forget(self, entry: _Waiting) -> bool:
        waited = self.waiting.leave(entry, entry.call.priority)
        self._queued.value = len(self.waiting)
        return waited

    def _waited_too_long(self, entry: _Waiting, longest: float) -> None:
        if self._forget(entry):
            entry.overflows.value += 1
            detail = f"cluster {self._name} had no room within {longest:g} s"
            entry.parked.fail(MeshError(Kind.OVERFLOW, detail))


def _cells(env: Env, cluster: str, priority: str) -> tuple[Cell, Cell]:
    """Return the gauges of a priority with limits of its own."""
    families = Families(env.metrics)
    return families.priority_calls.labels(cluster, priority), families.priority_waiting.labels(cluster, priority)


class Limited:
    """Sends calls on when their cluster has room for them; a `Proceed`, round the one of a protocol."""

    __slots__ = ("__weakref__", "_cluster", "_forward", "_overflows")

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
        if room.others:
            room = room.of(call)
        return self._forward(call) if room.take(call) else self._wait(room, call)

    async def _wait(self, room: Room, call: Call) -> Reply:
        await room.wait(call, self._overflows)
        return await self._forward(call)
