"""The cells that each part counts on, as bundles: looked up once, then added to without a look at names or labels."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Optional, Sequence

from twisted_mesh.labels import code_label, flag_label
from twisted_mesh.metrics import Cell, HistogramCell

if TYPE_CHECKING:
    from twisted_mesh.families import Families


class ListenerCells:
    """What an adapter and its port count: ``cells.connections.value += 1`` for each that was accepted."""

    __slots__ = ("accept_pauses", "calls_active", "connections", "connections_active", "connections_refused")

    def __init__(self, families: Families, protocol: str, name: str) -> None:
        self.connections: Cell = families.connections.labels(protocol, name)
        self.connections_active: Cell = families.connections_active.labels(protocol, name)
        self.connections_refused: Cell = families.connections_refused.labels(protocol, name)
        self.calls_active: Cell = families.calls_active.labels(protocol, name)
        self.accept_pauses: Cell = families.accept_pauses.labels(protocol, name)


class BusCells:
    """What a connection to Redis counts."""

    __slots__ = ("_families", "connected", "connects", "failures", "messages")

    def __init__(self, families: Families, link: str) -> None:
        self._families = families
        self.connected: Cell = families.bus_connected.labels(link)
        self.connects: Cell = families.bus_connects.labels(link)
        self.failures: Cell = families.bus_failures.labels(link)
        self.messages: Cell = families.bus_messages.labels(link)

    def failed(self) -> None:
        """Count an attempt to connect that failed."""
        self.failures.value += 1

    def result(self, name: str) -> None:
        """Count how a command ended."""
        self._families.bus_commands.labels(name).value += 1


class UpstreamCells:
    """What a forward and its pool count."""

    __slots__ = (
        "_calls",
        "_families",
        "_key",
        "active",
        "connect_failures",
        "connect_timeouts",
        "connects",
        "duration",
        "idle",
        "overflows",
        "pending",
        "retries",
        "retries_exhausted",
    )

    def __init__(self, families: Families, protocol: str, cluster: str) -> None:
        self._families = families
        self._key = key = (protocol, cluster)
        self._calls: dict[tuple[int, Optional[str]], Cell] = {}
        self.duration: HistogramCell = families.upstream_duration.labels(*key)
        self.connects: Cell = families.upstream_connects.labels(*key)
        self.connect_failures: Cell = families.upstream_connect_failures.labels(*key)
        self.connect_timeouts: Cell = families.upstream_connect_timeouts.labels(*key)
        self.retries: Cell = families.upstream_retries.labels(*key)
        self.retries_exhausted: Cell = families.upstream_retries_exhausted.labels(*key)
        self.overflows: Cell = families.upstream_overflows.labels(*key)
        self.active: Cell = families.upstream_connections.labels(*key, "active")
        self.idle: Cell = families.upstream_connections.labels(*key, "idle")
        self.pending: Cell = families.upstream_pending.labels(*key)

    def ended(self, status: int, flag: Optional[str], seconds: float, count: int = 1) -> None:
        """Count one try: its status (0 where there is none), its flag if it failed, and how long the head took.

        :param count: the operations that it stands for, each of which took that long.
        """
        cell = self._calls.get((status, flag))
        if cell is None:
            cell = self._new(status, flag)
        cell.value += count
        duration = self.duration
        duration.counts[bisect_left(duration.bounds, seconds)] += count
        duration.total += seconds * count

    def answered(self, count: int, counts: Sequence[int], seconds: float) -> None:
        """Count so many tries that had replies without a status.

        :param counts: how many took as long as each bucket of `DURATIONS`; `seconds` is how long all took together.
        """
        cell = self._calls.get((0, None))
        if cell is None:
            cell = self._new(0, None)
        cell.value += count
        duration = self.duration
        duration.total += seconds
        for at, times in enumerate(counts):
            if times:
                duration.counts[at] += times

    def _new(self, status: int, flag: Optional[str]) -> Cell:
        cell = self._families.upstream_calls.labels(*self._key, code_label(status), flag_label((flag,) if flag else ()))
        if 0 <= status < 1000:
            self._calls[status, flag] = cell
        return cell
