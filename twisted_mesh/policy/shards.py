"""Which of several Redis servers has a key: the tables that clients and other proxies place keys by.

- `Ketama`: points as libmemcached and twemproxy set them (Richard Jones, "libketama", 2007): 160 for each server of
  average weight, four from each MD5 of ``name-number``.
- `Modulo`: the hash modulo the number of servers, each as often as its weight says.
- Maglev is in `ring`.
"""

from __future__ import annotations

import struct
from hashlib import md5
from itertools import chain, islice
from typing import Callable, Generic, Iterator, Sequence, TypeVar

from twisted_mesh.policy.points import Points, each_once

T = TypeVar("T")

# Points of a server of average weight, and how many of them one MD5 gives.
POINTS = 160
POINTS_OF_ONE = 4
# Where twemproxy and libmemcached cut the text that is hashed.
_NAME_LIMIT = 85
# A name without its port stands for this one, as for memcached.
_DEFAULT_PORT = 11_211


class Ketama(Points[T]):
    """A ring of points.

    :param servers: what to choose from, in the order of the configuration.
    :param names: what the points of each are made of.
    :param weights: 1 or more each.
    :raises ValueError: there is nothing to choose from.
    """

    def __init__(self, servers: Sequence[T], names: Sequence[str], weights: Sequence[int]) -> None:
        _check(servers, names, weights)
        placed = (
            (point, index)
            for index, (name, weight) in enumerate(zip(names, weights, strict=True))
            for point in points(name, points_of(weight, sum(weights), len(servers)))
        )
        super().__init__(placed, servers)


class Modulo(Generic[T]):
    """The hash modulo how many there are; most keys move when there is one more or less.

    :raises ValueError: there is nothing to choose from.
    """

    def __init__(self, servers: Sequence[T], names: Sequence[str], weights: Sequence[int]) -> None:
        _check(servers, names, weights)
        self._owners = [each for each, weight in zip(servers, weights, strict=True) for _ in range(weight)]

    def __len__(self) -> int:
        return len(self._owners)

    def pick(self, hashed: int) -> T:
        """Return the server of a key, by the key's hash."""
        return self._owners[hashed % len(self._owners)]

    def walk(self, hashed: int) -> Iterator[T]:
        """Yield every server once, in the order in which a key would try them."""
        at = hashed % len(self._owners)
        return each_once(chain(islice(self._owners, at, None), islice(self._owners, at)))


def points_of(weight: int, total: int, servers: int) -> int:
    """Return how many points a server has, computed as the C programs do, in single precision."""
    share = _single(_single(weight) / _single(total))
    product = _single(_single(share * POINTS) / POINTS_OF_ONE)
    # The small number that they add makes the last product one of double precision.
    return int(_single(_single(product * servers) + 1e-10)) * POINTS_OF_ONE


def points(name: str, count: int) -> Iterator[int]:
    """Yield the places of a server's points."""
    for number in range(count // POINTS_OF_ONE):
        text = f"{name}-{number}".encode()[:_NAME_LIMIT]
        yield from struct.unpack("<4I", md5(text, usedforsecurity=False).digest())


def ketama_name(host: str, port: int) -> str:
    """Return what the points of a server without a name are made of: memcached's own port is left out."""
    return host if port == _DEFAULT_PORT else f"{host}:{port}"


def tag_of(pair: bytes) -> Callable[[bytes], bytes]:
    """Return a function that gives what of a key is hashed: what is between the first of two bytes and the next second.

    Where nothing is between them, and where `pair` is empty, all of the key is hashed.
    """
    if not pair:
        return lambda key: key
    opening, closing = pair[:1], pair[1:]

    def tagged(key: bytes) -> bytes:
        start = key.find(opening)
        if start >= 0:
            end = key.find(closing, start + 1)
            if end > start + 1:
                return key[start + 1 : end]
        return key

    return tagged


def _single(value: float) -> float:
    """Round to the single precision of a C `float`."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _check(servers: Sequence[T], names: Sequence[str], weights: Sequence[int]) -> None:
    if not servers or not len(servers) == len(names) == len(weights):
        raise ValueError("as many names and weights as servers, and at least one")
    if min(weights) < 1:
        raise ValueError("weights are 1 or more")
