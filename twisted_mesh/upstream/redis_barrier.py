"""Keeping the order of commands when another server takes them from now on.

What a client has sent before may still be on its way to the server that had the key until now, and come back with the
word that it has moved.  So what comes later waits until that server has answered all that was sent to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Hashable, Optional

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.upstream.redis_pool import RedisPool

if TYPE_CHECKING:
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_errand import Errand


class Barrier:
    """Commands of some lanes that wait until marks were passed; `left` counts these.  `timer` ends it anyway."""

    __slots__ = ("lanes", "left", "timer", "waiting")

    def __init__(self) -> None:
        self.lanes: list[Hashable] = []
        self.left = 0
        self.timer: Optional[IDelayedCall] = None
        self.waiting: list[tuple[Errand, int]] = []

    def __repr__(self) -> str:
        return f"<Barrier {len(self.waiting)} commands of {len(self.lanes)} lanes wait for {self.left} marks>"

    def wait_for(self, endpoint: Endpoint, passed: Callable[[], None]) -> None:
        """Wait for what is in flight there now; `passed` is called for each connection that has any."""
        pool = endpoint.pools.get("redis")
        if isinstance(pool, RedisPool):
            self.left += pool.mark(passed)


def abandon(old: Endpoint) -> None:
    """Have fail what a server that is no primary any more was sent and has not answered."""
    pool = old.pools.get("redis")
    if isinstance(pool, RedisPool):
        detail = f"{old.address}: it is the primary no longer, and does not answer"
        pool.abort(MeshError(Kind.CLOSED, detail, origin=Origin.UPSTREAM))
