"""Which few of very many things come most often, or are largest, in bounded memory.

Counting is Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in
data streams", 2005): of N counted in all, whatever came more than N / `size` times is known, and no count is too high
by more than its `over`, which is at most N / `size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Generic, Hashable, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Counted(Generic[T]):
    """A thing, how often it came at the most, and by how much that may be too much."""

    what: T
    times: float
    over: float


class Frequent(Generic[T]):
    """The things that come most often.

    Old ones fade: `fade` takes a share of all counts away, so that what was frequent an hour ago is not for ever.
    """

    __slots__ = ("_counts", "_least", "_overs", "_size", "total")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"nothing can be kept in {size} places")
        self._size = size
        self._counts: dict[T, float] = {}
        self._overs: dict[T, float] = {}
        # Counts as they were at some time, with what they were of; the true ones are never less.
        self._least: list[tuple[float, int, T]] = []
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Frequent {len(self._counts)} of {self._size} kept, {self.total:g} counted>"

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, what: T, times: float = 1) -> None:
        """Count something that came `times` times."""
        self.total += times
        counts = self._counts
        if what in counts:
            counts[what] += times
            return
        if len(counts) < self._size:
            counts[what] = times
            self._overs[what] = 0.0
            self._least = []
            return
        out, least = self._rarest()
        del counts[out], self._overs[out]
        counts[what] = least + times
        self._overs[what] = least
        heapreplace(self._least, (least + times, id(what), what))

    def _rarest(self) -> tuple[T, float]:
        """Return what has the lowest count, and that; it is the first of `_least` then."""
        heap, counts = self._least, self._counts
        if not heap:
            heap = self._least = [(count, id(what), what) for what, count in counts.items()]
            heapify(heap)
        while True:
            known, _, what = heap[0]
            count = counts[what]
            if count <= known:
                return what, count
            # It came again since: put it where it belongs now.
            heapreplace(heap, (count, id(what), what))

    def top(self, most: int) -> list[Counted[T]]:
        """Return the `most` most frequent ones, the first first."""
        ordered = sorted(self._counts.items(), key=lambda each: each[1], reverse=True)[:most]
        return [Counted(what, count, self._overs[what]) for what, count in ordered]

    def fade(self, share: float) -> None:
        """Keep this share of all counts, and forget what is less than half a time then."""
        self.total *= share
        self._least = []
        for what, count in list(self._counts.items()):
            if count * share < 0.5:
                del self._counts[what], self._overs[what]
            else:
                self._counts[what] = count * share
                self._overs[what] *= share


class Largest(Generic[T]):
    """The things of which the largest size was seen, each with its latest size at least `least`."""

    __slots__ = ("_least", "_size", "_sizes")

    def __init__(self, size: int, least: int) -> None:
        if size < 1:
            raise ValueError(f"nothing can be kept in {size} places")
        self._size = size
        self._least = least
        self._sizes: dict[T, int] = {}

    def __repr__(self) -> str:
        return f"<Largest {len(self._sizes)} of {self._size} kept>"

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, what: T, size: int) -> None:
        """See something of this size."""
        sizes = self._sizes
        if size < self._least:
            # It has shrunk.
            sizes.pop(what, None)
            return
        if what in sizes or len(sizes) < self._size:
            sizes[what] = size
            return
        smallest = min(sizes, key=sizes.__getitem__)
        if sizes[smallest] < size:
            del sizes[smallest]
            sizes[what] = size

    def forget(self, what: T) -> None:
        """It is gone."""
        self._sizes.pop(what, None)

    def top(self, most: int) -> list[tuple[T, int]]:
        """Return the `most` largest ones, the first first."""
        return sorted(self._sizes.items(), key=lambda each: each[1], reverse=True)[:most]
