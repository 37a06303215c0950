"""Numbers that the process keeps of itself, and how Prometheus reads them.

A `Family` is one metric name with its labels, a cell is one series of it.  A cell is a plain object: whoever counts on
the hot path keeps the cell and adds to ``cell.value``, which is all that counting costs.

Labels come from configured names, never from what a client sent.  Should that go wrong all the same, a family holds
`MAX_SERIES` series; what comes after is counted in one series whose labels are all `OTHER`, and
``twisted_mesh_metrics_folded_total`` says which family overflowed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Callable, Container, Generic, Iterable, Iterator, Optional, Protocol, Sequence, TypeVar, Union
from weakref import WeakSet

from twisted.logger import Logger

# As many as a Prometheus server takes from one name without harm; a mesh of 100 routes and 10 outcomes fits.
MAX_SERIES = 1000
# The value of every label of the series that takes what does not fit.
OTHER = "other"

# Seconds.  From half a millisecond, which a sidecar adds on a bad day, to the minute where people give up.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Seconds.  For what takes some microseconds, unless it waits.
SHORT_DURATIONS = (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 0.1, 1.0, 10.0)

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_log = Logger()


class Cell:
    """One series of a counter or a gauge: add to `value`, or set it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def __repr__(self) -> str:
        return f"<Cell {self.value}>"


class HistogramCell:
    """One series of a histogram.  `counts` has one more entry than `bounds`: what is above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<HistogramCell count={sum(self.counts)} sum={self.total:g}>"

    def observe(self, value: float, times: int = 1) -> None:
        """Count one value, so many times; a bound counts what equals it."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


C = TypeVar("C", bound=Union[Cell, HistogramCell])


class Family(Generic[C]):
    """One metric: a name, its label names, and a cell for each combination of label values that occurred."""

    __slots__ = ("_cells", "_make", "_overflow", "bounds", "folded", "help", "kind", "label_names", "name")

    def __init__(
        self,
        kind: str,
        name: str,
        help: str,
        label_names: tuple[str, ...],
        make: Callable[[], C],
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.help = help
        self.label_names = label_names
        self.bounds = bounds
        self.folded = 0
        self._make = make
        self._cells: dict[tuple[str, ...], C] = {}
        self._overflow: Optional[C] = None
        if not label_names:
            self._cells[()] = make()

    def __repr__(self) -> str:
        return f"<Family {self.name} {self.kind} {len(self._cells)} series>"

    def __len__(self) -> int:
        return len(self._cells)

    def labels(self, *values: str) -> C:
        """Return the cell for these label values, in the order of `label_names`.

        :raises ValueError: there are more or fewer values than labels.
        """
        cell = self._cells.get(values)
        return self._new(values) if cell is None else cell

    def forget(self, label: str, gone: Container[str]) -> None:
        """Drop every series whose `label` has one of these values: listeners or clusters that are gone.

        A cell that somebody still holds may be counted on, but nobody sees it any more.
        """
        at = self.label_names.index(label)
        for values in [each for each in self._cells if each[at] in gone]:
            del self._cells[values]

    def series(self) -> list[tuple[tuple[str, ...], C]]:
        """Return (label values, cell) of every series, the one for what did not fit last."""
        found = list(self._cells.items())
        if self._overflow is not None:
            found.append(((OTHER,) * len(self.label_names), self._overflow))
        return found

    def _new(self, values: tuple[str, ...]) -> C:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, got {values}")
        if len(self._cells) < MAX_SERIES:
            cell = self._cells[values] = self._make()
            return cell
        self.folded += 1
        if self._overflow is None:
            self._overflow = self._make()
        return self._overflow


Counter = Family[Cell]
Gauge = Family[Cell]
Histogram = Family[HistogramCell]
AnyFamily = Union[Family[Cell], Family[HistogramCell]]


class CellKeeper(Protocol):
    """Keeps cells by names that may leave the configuration and come back."""

    def forget_cells(self) -> None:
        """Look cells up again from now on."""


class Registry:
    """All families of a process.

    Asking for a family that exists returns it, so that each filter of each chain may ask for what it needs.
    """

    def __init__(self) -> None:
        # What is made of a registry once, by its type.
        self.bundles: dict[type, object] = {}
        self._families: dict[str, AnyFamily] = {}
        self._hooks: list[Callable[[], None]] = []
        self._keepers: WeakSet[CellKeeper] = WeakSet()
        self._folded = self.counter(
            "twisted_mesh_metrics_folded_total", "Lookups of series that did not fit into their family.", ("family",)
        )

    def __repr__(self) -> str:
        return f"<Registry {len(self._families)} families>"

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Return the counter of this name; `name` ends in ``_total``.

        :raises ValueError: not a metric name, or it exists with another kind or other labels.
        """
        if not name.endswith("_total"):
            raise ValueError(f"the name of a counter ends in _total, got {name!r}")
        return self._add(Family("counter", name, help, tuple(labels), Cell))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Return the gauge of this name; raises as `counter` does."""
        return self._add(Family("gauge", name, help, tuple(labels), Cell))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), bounds: Sequence[float] = DURATIONS
    ) -> Histogram:
        """Return the histogram of this name; `bounds` are upper bounds, ascending.  Raises as `counter` does."""
        edges = tuple(bounds)
        if list(edges) != sorted(set(edges)) or not edges:
            raise ValueError(f"bounds of a histogram ascend, got {edges}")
        return self._add(Family("histogram", name, help, tuple(labels), lambda: HistogramCell(edges), edges))

    def family(self, name: str) -> Optional[AnyFamily]:
        """Return the family of this name, if there is one."""
        return self._families.get(name)

    def families(self) -> list[AnyFamily]:
        """Return every family, in the order they were made in."""
        return list(self._families.values())

    def on_collect(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Have `hook()` called before each exposition, to set gauges that nobody keeps; returns what undoes it.

        A hook that raises is logged and spoils nothing else.
        """
        self._hooks.append(hook)

        def forget() -> None:
            if hook in self._hooks:
                self._hooks.remove(hook)

        return forget

    def refresh(self) -> None:
        """Run the hooks and count what was folded."""
        for hook in list(self._hooks):
            try:
                hook()
            except Exception:
                _log.failure("a metrics hook failed: {hook!r}", hook=hook)
        for each in self._families.values():
            if each.folded:
                self._folded.labels(each.name).value = each.folded

    def forget(self, label: str, *values: str) -> None:
        """Drop the series of what is gone from the configuration: ``forget("cluster", "api")``.

        Those who registered with `on_forget` let go of the cells that they keep.
        """
        for _ in self.forget_steps(label, values):
            continue

    def forget_steps(self, label: str, values: Iterable[str]) -> Iterator[None]:
        """Do as `forget` does, in steps that are each short, however many there are."""
        gone = frozenset(values)
        for each in self.families():
            if label in each.label_names:
                each.forget(label, gone)
                yield
        for keeper in list(self._keepers):
            keeper.forget_cells()

    def on_forget(self, keeper: CellKeeper) -> None:
        """Have `keeper.forget_cells()` called when series were dropped, for as long as somebody else holds it."""
        self._keepers.add(keeper)

    def slices(self) -> Iterator[bytes]:
        """Yield everything in the Prometheus text format, in pieces short enough to serve calls between them."""
        # Imported here, as it imports this module.
        from twisted_mesh.exposition import render

        self.refresh()
        for each in self.families():
            yield from render(each)

    def expose(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return b"".join(self.slices())

    def _add(self, made: Family[C]) -> Family[C]:
        known = self._families.get(made.name)
        if known is not None:
            if (known.kind, known.label_names, known.bounds) != (made.kind, made.label_names, made.bounds):
                raise ValueError(f"{made.name} exists already, as a {known.kind} with the labels {known.label_names}")
            return known  # type: ignore[return-value]  # the kind says which cells it has
        for each in (made.name, *made.label_names):
            if not _NAME.match(each):
                raise ValueError(f"not a name for a metric or a label: {each!r}")
        self._families[made.name] = made  # type: ignore[assignment]
        return made
