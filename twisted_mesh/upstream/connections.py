"""The connections of a cluster, over all of its endpoints, where they are limited."""

from __future__ import annotations

import math
from collections import deque
from typing import Callable, Optional, Protocol, Sized

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.interfaces import Env
from twisted_mesh.metrics import Cell
from twisted_mesh.park import Parked


class Sharer(Protocol):
    """A pool, and the calls that wait for a connection of it."""

    @property
    def waiting(self) -> Sized: ...
    def next(self) -> None:
        """There may be room for calls that wait."""

    def spare(self) -> bool:
        """Close the connection that was idle for longest; returns whether there was any."""


class Connections:
    """Counts connections up to a limit, which all pools of a cluster share.

    Where there is no room a pool whose calls wait gets a connection that another one has idle: that is closed, and its
    place goes to whoever waits.  `open` may be above a limit that has become smaller.

    :param limit: `math.inf` where they are only counted.
    :param cell: shows how many are open.
    """

    __slots__ = ("_cell", "_pools", "limit", "open")

    def __init__(self, limit: float, cell: Optional[Cell] = None) -> None:
        self.limit = limit
        self.open = 0
        self._cell = Cell() if cell is None else cell
        self._pools: dict[Sharer, None] = {}

    def __repr__(self) -> str:
        return f"<Connections {self.open} of {self.limit}>"

    def configure(self, limit: float) -> None:
        """Go by this limit from now on."""
        self.limit = limit
        self._wake()

    def join(self, pool: Sharer, open: int = 0) -> None:
        """Share with one more pool, which has so many connections already."""
        self._pools[pool] = None
        self._count(open)

    def leave(self, pool: Sharer, open: int = 0) -> None:
        """A pool goes its own ways, with so many connections."""
        self._pools.pop(pool, None)
        self._count(-open)
        self._wake()

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        limit = None if self.limit == math.inf else self.limit
        return {"open": self.open, "limit": limit, "waiting": sum(len(each.waiting) for each in self._pools)}

    @property
    def free(self) -> bool:
        """Whether there is room for a connection."""
        return self.open < self.limit

    def take(self, pool: Sharer) -> bool:
        """Take the place of a connection; if there is none, one is made where another pool can spare a connection."""
        if self.open < self.limit:
            self._count(1)
            return True
        for each in self._pools:
            if each is not pool and each.spare():
                break
        return False

    def give(self) -> None:
        """A connection is gone."""
        self._count(-1)
        self._wake()

    def _count(self, more: int) -> None:
        self.open += more
        self._cell.value = self.open

    @property
    def wanted(self) -> bool:
        """Whether calls wait for room in some pool, so that a connection should not be kept idle in another."""
        return self.open >= self.limit and any(len(each.waiting) for each in self._pools)

    def _wake(self) -> None:
        for each in list(self._pools):
            if not self.free:
                return
            if len(each.waiting):
                if each in self._pools:
                    # Who was served stands behind the others the next time.
                    del self._pools[each]
                    self._pools[each] = None
                each.next()


class Portion:
    """What a pool has of the connections of its cluster, where they are limited; for pools in which no call waits.

    :param spare: closes a connection that is idle, and returns whether there was any.
    """

    __slots__ = ("_connections", "_spare", "waiting")

    def __init__(self, spare: Callable[[], bool] = lambda: False) -> None:
        self.waiting: tuple[()] = ()
        self._connections: Optional[Connections] = None
        self._spare = spare

    def __repr__(self) -> str:
        return f"<Portion of {self._connections!r}>"

    def share(self, connections: Optional[Connections], open: int) -> None:
        """Share these from now on, with so many that are open; None: there is no limit any more."""
        if connections is self._connections:
            return
        if self._connections is not None:
            self._connections.leave(self, open)
        if connections is not None:
            connections.join(self, open)
        self._connections = connections

    def take(self) -> bool:
        """Take the place of a connection, that of one which another pool has idle if need be."""
        connections = self._connections
        return connections is None or connections.take(self) or connections.take(self)

    def give(self) -> None:
        """A connection is gone."""
        if self._connections is not None:
            self._connections.give()

    @property
    def free(self) -> bool:
        """Whether there is room for a connection, without one of another pool being closed."""
        return self._connections is None or self._connections.free

    @property
    def limit(self) -> Optional[float]:
        """How many all pools may have together; None: any number."""
        return None if self._connections is None else self._connections.limit

    @property
    def wanted(self) -> bool:
        """Whether a connection should not be kept idle, as another pool needs its place."""
        return self._connections is not None and self._connections.wanted

    def next(self) -> None:
        """Nothing waits here."""

    def spare(self) -> bool:
        """Close a connection that is idle; returns whether there was any."""
        return self._spare()


class Queue:
    """Calls that wait for a connection of their own, where there is no pool: those of TCP."""

    __slots__ = ("_env", "_overflows", "connections", "waiting")

    def __init__(self, connections: Connections, env: Env, overflows: Cell) -> None:
        self.connections = connections
        self._env = env
        self._overflows = overflows
        self.waiting: deque[Parked[None]] = deque()
        connections.join(self)

    def __repr__(self) -> str:
        return f"<Queue {len(self.waiting)} waiting for {self.connections!r}>"

    async def enter(self, most: int, longest: float) -> Callable[[], None]:
        """Wait for a place; returns what gives it back.

        :param most: calls that may wait.
        :param longest: seconds.
        :raises MeshError: `Kind.OVERFLOW`.
        """
        connections = self.connections
        while not connections.take(self):
            await self._wait(most, longest)
        return connections.give

    async def _wait(self, most: int, longest: float) -> None:
        if len(self.waiting) >= most:
            raise self._overflow(f"{self.connections.open} connections, and {len(self.waiting)} calls wait for one")
        parked: Parked[None] = Parked()
        self.waiting.append(parked)
        timer = self._env.clock.callLater(longest, self._waited_too_long, parked, longest)
        try:
            await parked
        finally:
            if timer.active():
                timer.cancel()
            if parked in self.waiting:
                self.waiting.remove(parked)

    def _waited_too_long(self, parked: Parked[None], longest: float) -> None:
        if parked in self.waiting:
            self.waiting.remove(parked)
            parked.fail(self._overflow(f"no connection free within {longest:g} s"))

    def _overflow(self, detail: str) -> MeshError:
        self._overflows.value += 1
        return MeshError(Kind.OVERFLOW, f"{self._env.name}: {detail}")

    def next(self) -> None:
        """There may be room for calls that wait."""
        while self.waiting and self.connections.free:
            self.waiting.popleft().fire(None)

    def spare(self) -> bool:
        """There is nothing to spare."""
        return False

    def stop(self) -> None:
        """Nobody waits here any more."""
        self.connections.leave(self)
