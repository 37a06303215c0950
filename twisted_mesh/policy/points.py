"""Points on a circle of hashes, each of an owner: what rings of all kinds have in common."""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain, islice
from typing import Generic, Iterable, Iterator, Sequence, TypeVar

T = TypeVar("T")


class Points(Generic[T]):
    """A ring of points.

    :param placed: (hash, index of its owner) of each point, in any order.
    :param owners: what to choose from.
    """

    def __init__(self, placed: Iterable[tuple[int, int]], owners: Sequence[T]) -> None:
        ordered = sorted(placed)
        self._hashes = [each[0] for each in ordered]
        self._owners = [owners[each[1]] for each in ordered]

    def __len__(self) -> int:
        return len(self._hashes)

    def points(self) -> Iterator[tuple[int, T]]:
        """Yield (hash, owner) in the order of the ring."""
        return zip(self._hashes, self._owners, strict=True)

    def pick(self, hashed: int) -> T:
        """Return the owner of a key, by the key's hash: that of the first point at or behind it."""
        at = bisect_left(self._hashes, hashed)
        return self._owners[at if at < len(self._owners) else 0]

    def walk(self, hashed: int) -> Iterator[T]:
        """Yield every owner once, in the order in which a key tries them."""
        at = bisect_left(self._hashes, hashed)
        return each_once(chain(islice(self._owners, at, None), islice(self._owners, at)))


def each_once(owners: Iterable[T]) -> Iterator[T]:
    """Yield what is met for the first time."""
    met: set[int] = set()
    for each in owners:
        if id(each) not in met:
            met.add(id(each))
            yield each
