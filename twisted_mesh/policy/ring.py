"""Consistent hashing: the same key goes to the same endpoint, and few keys move when endpoints come and go.

Two tables of that kind, over the same 64-bit hashes (xxHash64), so that a sidecar sends a key where Envoy sends it:

- `HashRing` (Karger et al., "Consistent Hashing and Random Trees", STOC 1997, with points as Ketama places them): each
  endpoint has points in proportion to its weight; a key belongs to the first point at or behind its hash.
- `Maglev` (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4):
  each endpoint fills a table of prime size in the order of a permutation of its own.  It spreads keys more evenly and
  looks up faster; when an endpoint leaves, a few more keys move than have to.
"""

from __future__ import annotations

from itertools import chain, cycle, islice
from math import ceil
from typing import Callable, Generator, Generic, Iterator, Optional, Sequence, TypeVar, Union

import xxhash

from twisted_mesh.policy.points import Points

# Points of a ring at the least; more where weights ask for it, up to the most.
RING_LEAST = 1024
RING_MOST = 1 << 23
# Weights are kept exactly up to so many points in a cluster; a ring of more would take too long to make.
RING_KEPT = 16_384
# A prime; the paper's own small table.
MAGLEV_SIZE = 65_537
MAGLEV_MOST = 5_000_011
# Places that are tried in one step of filling a Maglev table: about a millisecond.
_STEP = 8_000

T = TypeVar("T")
Hash = Callable[[bytes], int]


def key_hash(key: Union[str, bytes]) -> int:
    """Return the hash of a key: 64 bits."""
    return xxhash.xxh64_intdigest(key if isinstance(key, bytes) else key.encode())


class HashRing(Points[T]):
    """A ring of points, each of one endpoint.

    :param names: what the points of each endpoint are hashed from, usually its address; they must differ.
    :param weights: 1 or more each.
    :param least: points of the whole ring at the least, :param most: at the most.
    :param point: the hash of a point.
    :raises ValueError: there is nothing to choose from, or the bounds contradict each other.
    """

    def __init__(
        self,
        endpoints: Sequence[T],
        names: Sequence[str],
        weights: Sequence[int],
        *,
        least: int = RING_LEAST,
        most: int = RING_MOST,
        point: Hash = xxhash.xxh64_intdigest,
    ) -> None:
        _check(endpoints, names, weights)
        if not 1 <= least <= most:
            raise ValueError(f"a ring of at least {least} and at most {most} points cannot be")
        super().__init__(_points(names, weights, least, most, point), endpoints)


def _points(
    names: Sequence[str], weights: Sequence[int], least: int, most: int, point: Hash
) -> Iterator[tuple[int, int]]:
    """Yield (hash, index) of every point.

    The endpoint with the smallest weight gets a whole number of points, as many as make the ring `least` long, and the
    others in proportion, so that weights are kept exactly unless `most` forbids it.
    """
    total = sum(weights)
    smallest = min(weights)
    scale = min(ceil(least * smallest / total) * total / smallest, most)
    made = target = 0.0
    for index, (name, weight) in enumerate(zip(names, weights, strict=True)):
        target += scale * weight / total
        nth = 0
        while made < target:
            yield point(f"{name}_{nth}".encode()), index
            nth += 1
            made += 1


def even_size(weights: Sequence[int], least: int, most: int) -> int:
    """Return a size for a ring of at least so many points, `most` at most, that seldom depends on how many share it.

    Envoy's rule alone gives each of ten endpoints 103 points, and each of nine 114, so that when one leaves 1.7 times
    the keys move that have to.  Here the points of the lightest endpoint are a power of two: both have 128, and only
    the keys of the one that leaves move.
    """
    total, smallest = sum(weights), min(weights)
    points = 1 << (ceil(least * smallest / total) - 1).bit_length()
    return min(points * total // smallest, most)


class Maglev(Generic[T]):
    """A table of prime size, filled by all endpoints in turn.

    Filling one of the default size takes 50 ms and more: `fill` does it in steps.

    :param size: entries, a prime; at least as many as there are endpoints, better a hundred times as many.
    :raises ValueError: the size is no prime or too big, or there is nothing to choose from.
    """

    def __init__(
        self, endpoints: Sequence[T], names: Sequence[str], weights: Sequence[int], *, size: int = MAGLEV_SIZE
    ) -> None:
        for _ in self._steps(endpoints, names, weights, size):
            pass

    @classmethod
    def fill(
        cls, endpoints: Sequence[T], names: Sequence[str], weights: Sequence[int], *, size: int = MAGLEV_SIZE
    ) -> Generator[None, None, Maglev[T]]:
        """Make a table in steps of a millisecond or so; the last returns it.

        :raises ValueError: as the class does, at the first step.
        """
        made = cls.__new__(cls)
        yield from made._steps(endpoints, names, weights, size)
        return made

    def _steps(
        self, endpoints: Sequence[T], names: Sequence[str], weights: Sequence[int], size: int
    ) -> Generator[None, None, None]:
        _check(endpoints, names, weights)
        if not (len(endpoints) <= size <= MAGLEV_MOST and is_prime(size)):
            raise ValueError(
                f"the size of a Maglev table is a prime from the number of endpoints to {MAGLEV_MOST:,}, not {size}"
            )
        self.size = size
        indices = yield from _filled(names, weights, size)
        self._owners = [endpoints[index] for index in indices]

    def __len__(self) -> int:
        return self.size

    def pick(self, hashed: int) -> T:
        """Return the endpoint of a key, by the key's hash."""
        return self._owners[hashed % self.size]

    def walk(self, hashed: int) -> Iterator[T]:
        """Yield every endpoint once, in the order in which a key tries them."""
        at = hashed % self.size
        met: set[int] = set()
        for each in chain(islice(self._owners, at, None), islice(self._owners, at)):
            if id(each) not in met:
                met.add(id(each))
                yield each


def _filled(names: Sequence[str], weights: Sequence[int], size: int) -> Generator[None, None, list[int]]:
    """Return the index of the endpoint in each entry of the table, after some steps."""
    table = [-1] * size
    count, heaviest = len(names), max(weights)
    skips = [xxhash.xxh64_intdigest(each.encode(), seed=1) % (size - 1) + 1 for each in names]
    places = [xxhash.xxh64_intdigest(each.encode(), seed=0) % size for each in names]
    credit = [0] * count
    left, tries = size, _STEP
    for index in cycle(range(count)):
        # An endpoint of half the weight takes every second turn.
        credit[index] += weights[index]
        if credit[index] < heaviest:
            continue
        credit[index] -= heaviest
        place, skip = places[index], skips[index]
        while table[place] >= 0:
            place = (place + skip) % size
            tries -= 1
        table[place] = index
        places[index] = (place + skip) % size
        left -= 1
        if not left:
            return table
        tries -= 1
        if tries < 0:
            tries = _STEP
            yield
    raise AssertionError("cycles do not end")


def bounded(
    table: Union[HashRing[T], Maglev[T]], hashed: int, active: Callable[[T], int], count: int, factor: float
) -> T:
    """Return the endpoint of a key, unless it has more than its share in flight: then the next that has not.

    Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2017: nobody gets more than `factor`
    times the mean (this call included), so a hot key spills over to the same neighbours every time.

    :param count: calls in flight to all of them.
    :param factor: more than 1; 1.25 to 2 are sensible.
    """
    first: Optional[T] = None
    for each in table.walk(hashed):
        if first is None:
            first = each
            if active(each) == 0:
                return each
            limit = _share(table, count, factor)
        if active(each) < limit:
            return each
    assert first is not None
    return first


def _share(table: Union[HashRing[T], Maglev[T]], count: int, factor: float) -> int:
    return bound(count, len({id(each) for each in table._owners}), factor)


def bound(count: int, endpoints: int, factor: float) -> int:
    """Return the calls in flight with which an endpoint takes no more: its bounded share of `count` and one more."""
    return ceil(factor * (count + 1) / endpoints)


def _check(endpoints: Sequence[T], names: Sequence[str], weights: Sequence[int]) -> None:
    if not endpoints or not len(endpoints) == len(names) == len(weights):
        raise ValueError("as many names and weights as endpoints, and at least one")
    if len(set(names)) != len(names):
        raise ValueError("two endpoints of one name would have the same places")
    if min(weights) < 1:
        raise ValueError("weights are 1 or more")


def is_prime(number: int) -> bool:
    """Whether `number` is a prime; for small ones."""
    return number > 1 and all(number % each for each in range(2, int(number**0.5) + 1))
