"""Endpoints that are kept although the registry does not know them any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Collection, Mapping, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.interfaces import Env

if TYPE_CHECKING:
    from twisted_mesh.metrics import Cell
    from twisted_mesh.upstream.endpoint import Endpoint


class Kept:
    """Holds endpoints, by instance, until a moment; then calls `over`.

    :param refused: called with an endpoint of these when a connection to it is refused.
    :param count: the gauge of how many there are.
    :ivar until: that moment, in seconds since the epoch; None while nothing is kept.
    :ivar why: why they are, for people.
    """

    def __init__(self, env: Env, over: Callable[[], None], refused: Callable[[Endpoint], None], count: Cell) -> None:
        self.made: dict[str, Sequence[Endpoint]] = {}
        self.until: Optional[float] = None
        self.why = ""
        self._env = env
        self._over = over
        self._refused = refused
        self._count = count
        self._timer: Optional[IDelayedCall] = None

    def __repr__(self) -> str:
        return f"<Kept {len(self.made)} instances{f' as {self.why}' if self.why else ''}>"

    def keep(self, made: Mapping[str, Sequence[Endpoint]], why: str, seconds: float) -> None:
        """Keep these, too."""
        self.made.update(made)
        self.why = why
        if self.until is None:
            self.shorten(seconds)
        for endpoints in made.values():
            for each in endpoints:
                each.doubt = f"kept: {why}"
                each.on_refused = self._refused
        self._count.value = len(self.made)

    def shorten(self, seconds: float) -> None:
        """Keep what is kept for so long from now on, if that is less than it would be."""
        until = self._env.wall() + seconds
        if self.until is not None and until >= self.until:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.until = until
        self._timer = self._env.clock.callLater(seconds, self._time_is_up)

    def has(self, address: str) -> bool:
        """Whether an address is kept."""
        return any(each.address == address for made in self.made.values() for each in made)

    def drop(self, ids: Collection[str], addresses: Collection[str]) -> None:
        """Keep these no more: they are known again, or gone for good."""
        left = {
            id: [each for each in made if each.address not in addresses]
            for id, made in self.made.items()
            if id not in ids
        }
        self.made = {id: made for id, made in left.items() if made}
        self._count.value = len(self.made)
        if not self.made:
            self.end()

    def end(self) -> None:
        """Keep nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.made, self.until, self.why = {}, None, ""
        self._count.value = 0

    def _time_is_up(self) -> None:
        self._timer = None
        self.end()
        self._over()
