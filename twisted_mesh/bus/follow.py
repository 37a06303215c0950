"""Keeping up with sets of records at Redis: told of each change, and asking again so that none is missed.

A message is a hint.  It carries the change and its version, so that the next one in turn is applied as it is; one that
is known already is ignored, and where one is missing the changes since are read, or all of the set.  After every
connect the channels are subscribed first, then everything is read.  A poll compares versions and sweeps, so that a lost
message costs a poll and no more; it comes early when a lease is about to end.
"""

from __future__ import annotations

import random as _random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Generic, Optional

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.followed import Followed, FollowerCells, V
from twisted_mesh.bus.leases import Leases
from twisted_mesh.families import Families

if TYPE_CHECKING:
    from twisted_mesh.bus.client import Redis, Subscriber

# Seconds between two polls where nothing happens.
POLL = 1.0
# How long after the end of a lease the poll comes that ends it: so long, and a random part of as much again, as every
# sidecar that follows the set will come.
SWEEP_AFTER = 0.01
SWEEP_SPREAD = 0.05
# Sets that are read at once.
READS_AT_ONCE = 32

log = Logger("twisted_mesh.bus")


class Following:
    """Ends when it is told to: `stop`."""

    __slots__ = ("_stop",)

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop: Optional[Callable[[], None]] = stop

    def stop(self) -> None:
        """Follow no more."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()


class Follower(Generic[V]):
    """Follows sets of one kind.

    :param make_view: makes the view of a set that nobody has followed yet.
    :param wall: seconds since the epoch.
    :ivar on_change: called with every view that has changed, after those who follow that set.
    """

    def __init__(
        self,
        leases: Leases,
        redis: Redis,
        subscriber: Subscriber,
        make_view: Callable[[str], V],
        *,
        clock: IReactorTime,
        random: _random.Random,
        wall: Callable[[], float],
        families: Families,
        poll: float = POLL,
    ) -> None:
        self.on_change: list[Callable[[V], None]] = []
        self._leases = leases
        self._redis = redis
        self._subscriber = subscriber
        self._make_view = make_view
        self._clock = clock
        self._random = random
        self._wall = wall
        self._poll_every = poll
        self._sets: dict[str, Followed[V]] = {}
        self._waiting: deque[Followed[V]] = deque()
        self._reads = 0
        self._timer: Optional[IDelayedCall] = None
        self._running = False
        self._trouble = ""
        self._cells = FollowerCells(families, leases.kind)

    def __repr__(self) -> str:
        return f"<Follower of {len(self._sets)} {self._leases.kind}s>"

    def start(self) -> None:
        """Begin to poll, and to read again after each connect."""
        self._running = True
        for link in (self._redis, self._subscriber):
            link.on_up.append(self._up)
            link.on_down.append(self._down)
        self._plan(self._usual() * self._random.random())
        self._up()

    def stop(self) -> None:
        """Follow nothing any more."""
        if not self._running:
            return
        self._running = False
        for link in (self._redis, self._subscriber):
            link.on_up.remove(self._up)
            link.on_down.remove(self._down)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._sets):
            self._forget(name)

    def views(self) -> list[V]:
        """Return the view of everything that is followed."""
        return [each.view for each in self._sets.values()]

    def follow(self, name: str, changed: Callable[[V], None]) -> Following:
        """Call `changed` with the view of a set whenever it has changed, and at once if anything is known.

        All who follow a set share one view.
        """
        followed = self._sets.get(name)
        if followed is None:
            followed = Followed(self._make_view(name), self._leases.kind, self._cells, self.on_change)
            self._sets[name] = followed
            self._cells.followed.value = len(self._sets)
            self._begin(self._subscribe(followed), f"following {name}")
        followed.add(changed)
        return Following(partial(self._leave, followed, changed))

    def refresh(self, name: str) -> None:
        """Read all of a set that is followed, whatever is known of it; nothing happens while there is no connection."""
        followed = self._sets.get(name)
        if followed is not None:
            self._read(followed, fresh=True)

    def _leave(self, followed: Followed[V], changed: Callable[[V], None]) -> None:
        followed.listeners.remove(changed)
        if not followed.listeners and self._has(followed):
            self._forget(followed.view.name)

    def _forget(self, name: str) -> None:
        del self._sets[name]
        self._cells.followed.value = len(self._sets)
        self._subscriber.unsubscribe(self._leases.keys.channel(self._leases.kind, name))

    def _has(self, followed: Followed[V]) -> bool:
        return self._sets.get(followed.view.name) is followed

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> None:
        Deferred.fromCoroutine(work).addErrback(
            lambda failure: log.failure("{what} failed", failure=failure, what=what)
        )

    # --- messages

    async def _subscribe(self, followed: Followed[V]) -> None:
        name = followed.view.name

        def heard(message: bytes) -> None:
            if self._has(followed) and followed.hear(message):
                self._read(followed)

        try:
            await self._subscriber.subscribe(self._leases.keys.channel(self._leases.kind, name), heard)
            followed.subscribed = True
        except CancelledError:
            # Nobody follows it any more.
            return
        except BusError as error:
            log.warn(
                "changes of {kind} {name} are heard of by polling only: {error}",
                kind=self._leases.kind,
                name=name,
                error=error,
            )
        self._read(followed)

    # --- reading

    def _read(self, followed: Followed[V], fresh: bool = False) -> None:
        """Read what has happened to a set; with `fresh` all of it, whatever is known."""
        followed.fresh = followed.fresh or fresh
        if followed.reading:
            followed.again = True
        elif self._has(followed) and self._redis.connected:
            followed.reading = True
            self._waiting.append(followed)
            self._fill()

    def _fill(self) -> None:
        while self._waiting and self._reads < READS_AT_ONCE:
            followed = self._waiting.popleft()
            if self._has(followed):
                self._reads += 1
                self._begin(self._read_now(followed), f"reading {followed.view.name}")

    async def _read_now(self, followed: Followed[V]) -> None:
        known = 0 if followed.fresh else followed.view.version
        followed.fresh = followed.again = False
        more = False
        try:
            answer = await self._leases.read(followed.view.name, known, followed.view.born)
            if self._has(followed):
                more = followed.got(answer, self._subscriber.connected and followed.subscribed)
            self._trouble = ""
        except BusError as error:
            # It is read again when Redis is back, or at the next poll.
            followed.failed()
            self._complain(error)
        finally:
            followed.reading = False
            self._reads -= 1
        if more or followed.again:
            self._read(followed)
        self._fill()

    def _up(self) -> None:
        for each in list(self._sets.values()):
            self._read(each, fresh=True)

    def _down(self) -> None:
        now = self._wall()
        for each in list(self._sets.values()):
            each.down(now)

    # --- polling

    def _plan(self, wait: float) -> None:
        if self._running:
            self._timer = self._clock.callLater(wait, self._poll)

    def _usual(self) -> float:
        return self._poll_every * (0.9 + 0.2 * self._random.random())

    def _poll(self) -> None:
        self._timer = None
        self._begin(self._poll_now(), f"polling {self._leases.kind}s")

    async def _poll_now(self) -> None:
        wait = self._usual()
        try:
            if self._sets and self._redis.connected:
                versions, soonest = await self._leases.poll(list(self._sets))
                self._compare(versions)
                if soonest >= 0:
                    wait = min(wait, soonest + SWEEP_AFTER + SWEEP_SPREAD * self._random.random())
        except BusError as error:
            self._complain(error)
        finally:
            self._plan(wait)

    def _complain(self, error: BusError) -> None:
        """Say once what Redis refuses; what is wrong with the connection says whoever keeps it."""
        if error.kind in ("refused", "protocol") and str(error) != self._trouble:
            self._trouble = str(error)
            log.error("{kind}s cannot be followed: {error}", kind=self._leases.kind, error=error)

    def _compare(self, versions: dict[str, int]) -> None:
        for name, version in versions.items():
            followed = self._sets.get(name)
            if followed is None or followed.reading:
                continue
            if followed.fresh or version != followed.view.version:
                # One that is behind us is another Redis, or one that has lost something.
                self._read(followed, fresh=version < followed.view.version)
