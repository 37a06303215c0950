"""Rate limits that the sidecars of a mesh share: the count of each key at Redis, and how many sidecars there are."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Any, Iterable, Optional, Sequence
from weakref import WeakSet, WeakValueDictionary

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.bus import limit_scripts
from twisted_mesh.bus.client import Script
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.limit_scripts import LEAVE
from twisted_mesh.policy.gcra import Gcra, Grant
from twisted_mesh.policy.rate_lease import Ask

if TYPE_CHECKING:
    from twisted_mesh.bus.client import Redis
    from twisted_mesh.bus.keys import Keys

# Seconds: how often a sidecar says that it shares a limit, how long that holds, and how long a farewell may take.
HEARTBEAT = 5.0
LEASE = 15.0
LEAVING = 1.0
# Keys in one script: some 0.2 ms of the server's time.
AT_ONCE = 100

TAKE = Script("take", limit_scripts.TAKE)
JOIN = Script("join", limit_scripts.JOIN)

log = Logger("twisted_mesh.bus")


class SharedLimit:
    """One limit by its name; as long as it has members this sidecar counts as one of those that share it.

    :ivar sidecars: how many share it, as far as is known; at least 1.
    """

    __slots__ = ("__weakref__", "_limits", "_members", "name", "sidecars")

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.sidecars = 1
        self._limits = limits
        self._members: WeakSet[object] = WeakSet()

    def __repr__(self) -> str:
        return f"<SharedLimit {self.name} of {self.sidecars} sidecars>"

    @property
    def applied(self) -> bool:
        """Whether this sidecar applies it."""
        return bool(self._members)

    def join(self, member: object) -> None:
        """Apply the limit; a member that is freed has left."""
        news = not self._members
        self._members.add(member)
        if news:
            self._limits.joined()

    def leave(self, member: object) -> None:
        """Apply it no more."""
        self._members.discard(member)
        if not self._members:
            self._limits.left(self.name)

    @property
    def connected(self) -> bool:
        """Whether there is anybody to ask."""
        return self._limits.redis.connected

    def ask(self, key: str, gcra: Gcra, asked: Ask) -> Deferred[Grant]:
        """Ask for units of a key; fires with what was granted.

        :raises BusError: through the Deferred.
        """
        return self._limits.take(self.name, gcra, [(key, asked)]).addCallback(lambda grants: grants[0])

    def give_back(self, gcra: Gcra, units: Iterable[tuple[str, int]]) -> None:
        """Units that were granted, by key, were not used.  Where Redis is away they are lost, and come with time."""
        back = [(key, Ask(0, 0, -count)) for key, count in units]
        for start in range(0, len(back), AT_ONCE):
            taken = self._limits.take(self.name, gcra, back[start : start + AT_ONCE])
            taken.addErrback(lambda failure: failure.trap(BusError) and None)


class Limits:
    """The shared limits of one mesh.

    :param who: what tells this sidecar apart from all others, in this life of its process.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        who: str,
        *,
        clock: IReactorTime,
        random: _random.Random,
        every: float = HEARTBEAT,
    ) -> None:
        self.redis = redis
        self._keys = keys
        self._who = who
        self._clock = clock
        self._random = random
        self._every = every
        self._known: WeakValueDictionary[str, SharedLimit] = WeakValueDictionary()
        self._timer: Optional[IDelayedCall] = None
        self._running = False
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<Limits {sorted(self._known)}>"

    def start(self) -> None:
        """Begin to say which limits are shared here."""
        self._running = True
        self.redis.on_up.append(self._beat)
        self._beat()

    def stop(self) -> Deferred[None]:
        """Say that none is any more; fires when Redis knows, or does not answer within a second."""
        if not self._running:
            return succeed(None)
        left = self._leave(self._applied())
        self._running = False
        self.redis.on_up.remove(self._beat)
        self._disarm()
        return left

    def limit(self, name: str) -> SharedLimit:
        """Return the limit of this name."""
        found = self._known.get(name)
        if found is None:
            self._known[name] = found = SharedLimit(name, self)
        return found

    def joined(self) -> None:
        """There is a limit more that is applied here."""
        if self._running:
            self._beat()

    def left(self, name: str) -> None:
        """A limit is applied here no more."""
        self._leave([name])

    def _leave(self, names: Sequence[str]) -> Deferred[None]:
        if not names or not self._running or not self.redis.connected:
            return succeed(None)
        # No script by its name: at the end of the process there is no time to find out that it is not known.
        left = self.redis.command("EVAL", LEAVE, 1, self._keys.prefix, self._who, *names, timeout=LEAVING)
        return left.addCallbacks(lambda answer: None, lambda failure: failure.trap(BusError) and None)

    def take(self, name: str, gcra: Gcra, asked: Sequence[tuple[str, Ask]]) -> Deferred[Sequence[Grant]]:
        """Ask for units of several keys of one limit."""
        arguments: list[Any] = []
        unit = repr(gcra.interval * 1e6)
        for key, each in asked:
            arguments += [key, unit, gcra.burst, each.want, each.least, each.debt]
        return self._run(TAKE, name, *arguments).addCallback(self._granted, name)

    def _granted(self, answer: Sequence[int], name: str) -> Sequence[Grant]:
        count, *numbers = answer
        self._count(name, count)
        return [
            Grant(numbers[at], numbers[at + 1], numbers[at + 2] / 1e6, numbers[at + 3] / 1e6)
            for at in range(0, len(numbers), 4)
        ]

    # --- who shares them

    def _beat(self) -> None:
        self._disarm()
        if not self._running:
            return
        self._timer = self._clock.callLater(self._every * (0.9 + 0.2 * self._random.random()), self._beat)
        names = self._applied()
        if names and self.redis.connected:
            asked = self._run(JOIN, self._who, round(LEASE * 1000), *names)
            asked.addCallback(self._counted, names).addErrback(self._failed)

    def _applied(self) -> list[str]:
        return sorted(name for name, each in self._known.items() if each.applied)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _counted(self, counts: Sequence[int], names: Sequence[str]) -> None:
        self._trouble = ""
        for name, count in zip(names, counts, strict=True):
            self._count(name, count)

    def _count(self, name: str, count: int) -> None:
        found = self._known.get(name)
        if found is not None:
            found.sidecars = max(1, count)

    def _failed(self, failure: Failure) -> None:
        """Say once what Redis refuses; what is wrong with the connection says whoever keeps it."""
        failure.trap(BusError)
        error = failure.value
        assert isinstance(error, BusError)
        if error.kind in ("refused", "protocol") and str(error) != self._trouble:
            self._trouble = str(error)
            log.error("how many sidecars share a rate limit is not known: {error}", error=error)

    def _run(self, script: Script, *arguments: Any) -> Deferred[Any]:
        return self.redis.script(script, [self._keys.prefix], arguments)
