"""The endpoint of a call by its key: the same key goes to the same endpoint while that can be used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Collection, Generator, Optional, Sequence, Union

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.call import Call
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.ring import RING_KEPT, HashRing, Maglev, bound, even_size
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.hash_key import hashed

if TYPE_CHECKING:
    from twisted_mesh.model.hashing import Hashing

# Entries of the table that serves while the first whole one is being filled: about a millisecond's work.
_FIRST_SIZE = 1009

Table = Union[HashRing[Endpoint], Maglev[Endpoint]]
# What a table was made of.
_Made = tuple[tuple[Endpoint, int], ...]


class Keyed:
    """The table of one cluster.

    It holds every endpoint of the cluster, those too that take no calls now: their keys go to the endpoints that come
    next in the table, each to its own, and come back; all other keys stay where they are.
    """

    def __init__(self, balance: str, config: Hashing, env: Env) -> None:
        self._maglev = balance == "maglev"
        self._config = config
        self._env = env
        self._hash = hashed(config.key)
        self._factor = config.bound
        self._most = self._looks = 0
        self._table: Optional[Table] = None
        self._made: _Made = ()
        self._allowed: Collection[Endpoint] = ()
        self._filling: Optional[Generator[None, None, Maglev[Endpoint]]] = None
        self._timer: Optional[IDelayedCall] = None

    def __repr__(self) -> str:
        state = " filling" if self._filling is not None else ""
        return f"<Keyed {'maglev' if self._maglev else 'ring_hash'} of {len(self._made)}{state}>"

    def pick(self, call: Call) -> Optional[Endpoint]:
        """Return the endpoint for a call, one that it has not tried if there is any; None if it has no key."""
        key = self._hash(call)
        table = self._table
        if key is None or table is None:
            return None
        owner = table.pick(key)
        allowed, tried = self._allowed, call.tried
        most = sys.maxsize if self._factor is None else self._most_now(self._factor)
        if owner in allowed and owner.active < most and owner not in tried:
            return owner
        busy: Optional[Endpoint] = None
        before: Optional[Endpoint] = None
        for each in table.walk(key):
            if each not in allowed:
                continue
            if each in tried:
                before = before or each
            elif each.active < most:
                return each
            else:
                busy = busy or each
        return busy or before

    def why(self, call: Call, picked: Endpoint) -> str:
        """Say why the key of `call` has `picked` for its endpoint."""
        key = self._hash(call)
        owner = picked if key is None or self._table is None else self._table.pick(key)
        if owner is picked:
            return "the call's key belongs there"
        trouble = "has enough calls in flight" if owner in self._allowed else "takes no calls now"
        return f"it is next for the call's key, which belongs to {owner.address}: that {trouble}"

    def _most_now(self, factor: float) -> int:
        """Return how many calls in flight are too many for one endpoint; looked at anew every few picks."""
        self._looks -= 1
        if self._looks < 0:
            count = len(self._allowed)
            self._looks = count // 8
            self._most = bound(sum(each.active for each in self._allowed), max(1, count), factor)
        return self._most

    def use(self, endpoints: Sequence[Endpoint], allowed: Sequence[Endpoint]) -> None:
        """There are these endpoints, and calls may go to `allowed`."""
        self._allowed = frozenset(allowed)
        self._looks = 0
        made = tuple((each, each.weight) for each in endpoints)
        if made != self._made:
            self._made = made
            self._make(endpoints)

    def adopt(self, old: Keyed) -> None:
        """Go on with the table of the cluster before, if it is made in the same way, until there is another."""
        if (self._maglev, self._config.ring_size, self._config.table_size) == (
            old._maglev,
            old._config.ring_size,
            old._config.table_size,
        ):
            self.stop()
            self._table = old._table
            self._made = () if old._filling is not None else old._made

    def stop(self) -> None:
        """Fill no table any more."""
        self._filling = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make(self, endpoints: Sequence[Endpoint]) -> None:
        self.stop()
        if not endpoints:
            self._table = None
            return
        names = [each.address for each in endpoints]
        weights = [each.weight for each in endpoints]
        if not self._maglev:
            most = max(RING_KEPT, self._config.ring_size, len(endpoints))
            least = even_size(weights, self._config.ring_size, most)
            self._table = HashRing(endpoints, names, weights, least=least, most=most)
            return
        size = self._config.table_size
        if size <= _FIRST_SIZE:
            self._table = Maglev(endpoints, names, weights, size=size)
            return
        if self._table is None and len(endpoints) <= _FIRST_SIZE:
            self._table = Maglev(endpoints, names, weights, size=_FIRST_SIZE)
        self._filling = Maglev.fill(endpoints, names, weights, size=size)
        self._timer = self._env.clock.callLater(0, self._fill)

    def _fill(self) -> None:
        """Go on filling; other things happen between two steps."""
        self._timer = None
        assert self._filling is not None
        try:
            next(self._filling)
        except StopIteration as end:
            self._filling = None
            self._table = end.value
        else:
            self._timer = self._env.clock.callLater(0, self._fill)
