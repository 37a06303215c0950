"""Which commands of a Redis listener must not travel together, as its routes or their clusters may part them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Mapping, Optional

from twisted_mesh.policy.apart import Apart, Matches, by_key

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.model.hashing import HashKey
    from twisted_mesh.policy.match import Conditions

_HASHING = ("ring_hash", "maglev")
# Of a Redis command it is the same.
_KEY = ("key", "path")


class Parting:
    """Looks at one route after the other, in their order.

    :param clusters: all of the configuration.
    """

    def __init__(self, clusters: Mapping[str, model.Cluster]) -> None:
        self._clusters = clusters
        self._by_key = False
        self._sticky = False
        self._matches = Matches()

    def add(self, route: model.Route, asked: Conditions) -> None:
        """Look at the next one, which asks this of its calls."""
        self._sticky = self._sticky or _sticks(route)
        self._by_key = self._by_key or self._sticky or self._hashes(route)
        self._matches.add(asked)

    def found(self) -> Optional[Apart]:
        """Return what keeps commands apart; None if all may travel together."""
        if self._by_key:
            return by_key
        return self._matches if len(self._matches) else None

    @property
    def divides(self) -> bool:
        """Whether keys of one command may belong to different clusters."""
        return self._sticky or len(self._matches) > 0

    @property
    def alike(self) -> Optional[Apart]:
        """What keys with the same route have in common, of a command's name and its key; None if all have the same."""
        return self._matches if len(self._matches) else None

    def _hashes(self, route: model.Route) -> bool:
        """Whether a cluster of the route goes by keys."""
        names = [*(each.cluster for each in route.to), *(each.cluster for each in route.mirror), *route.failover]
        found = [self._clusters[each] for each in names]
        return any(each.balance in _HASHING and _of_key(each.hash.key) for each in found)


def _sticks(route: model.Route) -> bool:
    """Whether the key of a command decides which of several clusters it goes to."""
    return len(route.to) > 1 and _of_key(route.sticky)


def _of_key(parts: Iterable[HashKey]) -> bool:
    return any(each.part in _KEY for each in parts)
