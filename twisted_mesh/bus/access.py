"""What is needed to keep records under leases at the mesh's Redis, and to follow those of others."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.bus.follow import POLL, Follower
from twisted_mesh.bus.followed import V
from twisted_mesh.bus.leases import NO_GUARD, Guard, Leases
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry

if TYPE_CHECKING:
    from twisted_mesh.bus.client import Redis, Subscriber
    from twisted_mesh.bus.keys import Keys


class Access(NamedTuple):
    """The mesh's Redis as its registry, overrides and verdicts use it.

    :ivar subscriber: None where nobody follows anything, as in a command.
    :ivar wall: seconds since the epoch.
    :ivar poll: seconds between two polls of what is followed.
    """

    redis: Redis
    subscriber: Optional[Subscriber]
    keys: Keys
    clock: IReactorTime
    random: _random.Random
    wall: Callable[[], float]
    metrics: Registry
    poll: float = POLL

    def leases(self, kind: str, guard: Guard = NO_GUARD) -> Leases:
        """Return the records of one kind."""
        return Leases(self.redis, self.keys, kind, guard)

    def follower(self, leases: Leases, make_view: Callable[[str], V]) -> Optional[Follower[V]]:
        """Return what follows them; None where nobody does."""
        if self.subscriber is None:
            return None
        return Follower(
            leases,
            self.redis,
            self.subscriber,
            make_view,
            clock=self.clock,
            random=self.random,
            wall=self.wall,
            families=Families(self.metrics),
            poll=self.poll,
        )
