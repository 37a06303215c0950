"""Following the configuration store.

A message is a hint that there is a newer version; what it is stands in keys.  After every connect the channel is
subscribed first, then the store is read.  Every few seconds a report tells the store which version this sidecar has,
and its answer tells the store's: so a message that was lost costs one such beat, and one that came twice nothing.

If the store has lost what this sidecar has (Redis was restarted empty, or with an old state), the sidecar keeps it,
says so, and offers it to be written back.
"""

from __future__ import annotations

import random as _random
from typing import Any, Callable, Iterable, Optional, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reading import Behind, Commands, read
from twisted_mesh.bus.reports import LEASE, Reporter
from twisted_mesh.bus.store_keys import store_channel
from twisted_mesh.bus.stored import EMPTY, Nack, Stored
from twisted_mesh.bus.tally import Tally
from twisted_mesh.families import Families
from twisted_mesh.policy.selector import Who

# Seconds between two reports, and while there is a canary, as its end waits for them.
BEAT = 5.0
CANARY_BEAT = 1.0
# Seconds that a sidecar that ends gives its farewell.
FAREWELL = 1.0

log = Logger("twisted_mesh.bus")


class Link(Protocol):
    """What both connections tell of themselves."""

    on_up: list[Callable[[], None]]


class CommandLink(Commands, Link, Protocol):
    """What following needs of a `bus.client.Redis`."""

    @property
    def connected(self) -> bool: ...


class MessageLink(Link, Protocol):
    """What following needs of a `bus.subscriber.Subscriber`."""

    def subscribe(self, channel: str, on_message: Callable[[bytes], None]) -> Deferred[None]: ...

    def unsubscribe(self, channel: str) -> None: ...


class _Hint(msgspec.Struct):
    epoch: str
    version: int


class ConfigFollower:
    """Follows the store for one sidecar.

    :param who: this sidecar; its `node` is its name in the mesh.
    :param changed: called with each new `Stored`, and once with the first that was read, whatever is in it.  Whoever
        takes it calls `acknowledge`.
    :param known: what this sidecar had when it last ran; it is kept if the store has lost it.
    :param now: monotonic seconds.
    :ivar stored: the newest version that was read, or `known`.
    :ivar behind: why the store is not followed, in one line; "" if it is.
    """

    def __init__(
        self,
        redis: CommandLink,
        subscriber: MessageLink,
        keys: Keys,
        who: Who,
        changed: Callable[[Stored], None],
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: _random.Random,
        families: Families,
        known: Stored = EMPTY,
        beat: float = BEAT,
        lease: float = LEASE,
        software: str = "",
    ) -> None:
        self.stored = known
        self.behind = ""
        self.reporter = Reporter(redis, keys, who, Tally(families), lease=lease, software=software)
        self._redis = redis
        self._subscriber = subscriber
        self._keys = keys
        self._changed = changed
        self._clock = clock
        self._now = now
        self._dice = random.random
        self._families = families
        self._beat = beat
        self._waiting: list[Deferred[None]] = []
        self._was_read = False
        self._read_at = now()
        self._wants_read = False
        self._wants_report = False
        self._working: Optional[Deferred[None]] = None
        self._timer: Optional[IDelayedCall] = None
        self._running = False
        self._said = ""

    def __repr__(self) -> str:
        return f"<ConfigFollower {self._keys.mesh} at {self.stored.version}{' ' + self.behind if self.behind else ''}>"

    # --- what its owner calls

    def start(self) -> None:
        """Begin to follow."""
        self._running = True
        self._redis.on_up.append(self._up)
        self._subscriber.on_up.append(self._up)
        self._subscriber.subscribe(store_channel(self._keys), self._hinted).addCallbacks(
            lambda _: self._up(), self._unheard
        )
        self._up()
        self._plan()

    def stop(self) -> Deferred[None]:
        """Follow no more, and take this sidecar's report away if Redis takes that within a second."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if not self._running:
            return
        self._running = False
        self._redis.on_up.remove(self._up)
        self._subscriber.on_up.remove(self._up)
        self._subscriber.unsubscribe(store_channel(self._keys))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._working is not None:
            self._working.cancel()
        leaving = ensureDeferred(self.reporter.leave())
        leaving.addTimeout(FAREWELL, self._clock)
        try:
            await leaving
        except Exception as error:
            log.info("the report of this sidecar stays until its lease ends: {error}", error=error)

    def ready(self) -> Deferred[None]:
        """Fire once the store was asked for the first time and has answered; never if it does not."""
        waiting: Deferred[None] = Deferred()
        if self._was_read:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def acknowledge(self, stored: Stored, nacks: Iterable[Nack] = (), took: Optional[float] = None) -> None:
        """Say that `stored` is in force now, except what `nacks` names; the store is told at once.

        :param took: seconds from its being read to its being in force; measured if not given.
        """
        self.reporter.take(stored, nacks, self._now() - self._read_at if took is None else took)
        self._families.bus_config_refused.labels().value = len(self.reporter.nacks)
        self._wants_report = True
        self._work()

    # --- what makes it look

    def _up(self) -> None:
        if not self._redis.connected:
            # It comes here again once it is.
            return
        self._wants_read = self._wants_report = True
        self._work()

    def _unheard(self, failure: Any) -> None:
        if self._running:
            log.error("changes of the configuration are found by polling only: {error}", error=failure.value)

    def _hinted(self, payload: bytes) -> None:
        try:
            hint = msgspec.json.decode(payload, type=_Hint)
        except msgspec.DecodeError:
            self._families.bus_config_hints.labels("malformed").value += 1
            return
        if hint.epoch == self.stored.epoch and hint.version <= self.stored.version:
            self._families.bus_config_hints.labels("known").value += 1
            return
        self._families.bus_config_hints.labels("new").value += 1
        self._wants_read = True
        self._work()

    def _plan(self) -> None:
        # Drawn out a little each time, so that sidecars that began together do not report together.
        every = self._beat if self.stored.canary is None else min(self._beat, CANARY_BEAT)
        self._timer = self._clock.callLater(every * (0.9 + 0.2 * self._dice()), self._beats)

    def _beats(self) -> None:
        self._plan()
        self._wants_report = True
        self._wants_read = self._wants_read or not self._was_read
        self._work()

    # --- one thing at a time

    def _work(self) -> None:
        if self._working is None and self._running:
            self._working = working = Deferred.fromCoroutine(self._works())
            working.addBoth(self._worked)

    async def _works(self) -> None:
        while self._running and (self._wants_read or self._wants_report):
            if self._wants_read:
                self._wants_read = False
                await self._read()
            else:
                self._wants_report = False
                await self._report()

    def _worked(self, result: Any) -> None:
        self._working = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            log.failure("following the configuration stumbled", result)
        elif self._running and (self._wants_read or self._wants_report):
            self._work()

    async def _read(self) -> None:
        try:
            found = await read(self._redis, self._keys, self.stored)
        except BusError as error:
            # The next connect, hint or beat tries again.
            self._families.bus_config_reads.labels("failed").value += 1
            self._say(f"the configuration cannot be read: {error}")
            return
        if not self._running:
            return
        first, self._was_read = not self._was_read, True
        if isinstance(found, Behind):
            self._hold(found)
        elif found is self.stored:
            self._follows("unchanged")
            if first:
                self._tell()
        else:
            hurry = self.stored.canary is None and found.canary is not None
            self.stored = found
            self._follows("changed")
            self._tell()
            if hurry and self._timer is not None:
                self._timer.cancel()
                self._plan()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _tell(self) -> None:
        self._read_at = self._now()
        try:
            self._changed(self.stored)
        except Exception:
            log.failure("version {version} of the configuration was not taken", version=self.stored.version)

    def _follows(self, result: str) -> None:
        self._families.bus_config_reads.labels(result).value += 1
        self._families.bus_config_version.labels().value = self.stored.version
        self._families.bus_config_behind.labels().value = 0
        self.behind = self.reporter.trouble = ""
        self._say("")

    def _hold(self, found: Behind) -> None:
        self._families.bus_config_reads.labels("behind").value += 1
        self._families.bus_config_behind.labels().value = 1
        self.behind = f"{found}, less than version {self.stored.version} here, which stays in force"
        self._wants_report = self._wants_report or self.reporter.trouble != self.behind
        self.reporter.trouble = self.behind
        self._say(f"{self.behind}: see meshctl restore")

    async def _report(self) -> None:
        try:
            heard = await self.reporter.send()
            self._families.bus_reports.labels("sent").value += 1
            if heard.wanted:
                await self.reporter.offer()
        except BusError as error:
            self._families.bus_reports.labels("failed").value += 1
            self._say(f"the store cannot be told: {error}")
            return
        if (heard.epoch, heard.version) != (self.stored.epoch, self.stored.version):
            self._wants_read = True
        elif heard.twins:
            name = self.reporter.who.node
            self._say(f"another sidecar of this mesh calls itself {name!r} too: give each a node.id of its own")
        elif not self.behind:
            self._say("")
        if heard.ended:
            log.warn("the canary rolled itself back, in version {version}", version=heard.ended)

    def _say(self, trouble: str) -> None:
        """Log what is wrong, once for each thing, and that all is well again."""
        if trouble == self._said:
            return
        if trouble:
            log.warn("{trouble}", trouble=trouble)
        else:
            log.info("the configuration store is followed again")
        self._said = trouble
