"""Overrides: what operators say of endpoints at run time, with an author, a reason and an end."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_mesh.bus.access import Access
from twisted_mesh.bus.disk import Ending, Kept, KeptOverrides
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.follow import Following
from twisted_mesh.bus.leases import Whole
from twisted_mesh.bus.view import Change, View
from twisted_mesh.model.base import either
from twisted_mesh.model.text import describe

KIND = "override"
# All overrides of a mesh are one set: they are few, and every sidecar wants them.
ALL = "all"
KINDS = ("weight", "drain", "maintenance")
# In the place of an endpoint: all of them, and so the whole cluster.
EVERY_ENDPOINT = "*"
SCOPES = ("service", "cluster")
# Seconds.
SHORTEST = 1.0
LONGEST = 30 * 86400.0
MOST_WEIGHT = 1_000_000
# Seconds until what a Redis has lost is put back: a random part of this, as every sidecar would do it, and so long
# after an attempt that failed.
GIVE_BACK = 1.0
GIVE_BACK_AGAIN = 5.0

log = Logger("twisted_mesh.bus")


class Override(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One override.

    - `scope` and `name` say whose endpoint it is: a ``service`` by its name, or a ``cluster`` of the configuration;
      `endpoint` is the instance's id, or an address as /clusters shows it, or ``*`` for the whole cluster or service.
    - `kind` is ``weight`` (then `weight`; 0 takes no calls), ``drain`` (no new calls) or ``maintenance`` (no calls, and
      no health checks); of ``*`` there is only the last, for `percent` of the calls.
    - `ttl` is how long it holds, in seconds from `at` (seconds since the epoch, by the author's clock).
    - `expires` is when it ends, in ms of Redis's clock; 0 where that is not known.
    - `remembered`: it was kept on disk in an earlier life of this process, and Redis has not been read since.
    """

    scope: str
    name: str
    endpoint: str
    kind: str
    ttl: float
    weight: int = 0
    percent: float = 100.0
    author: str = ""
    reason: str = ""
    at: float = 0.0
    expires: int = 0
    remembered: bool = False

    @property
    def id(self) -> str:
        """What tells it from others: there is one for each endpoint."""
        return f"{self.scope}/{self.name}/{self.endpoint}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Override)


def check(override: Override) -> Override:
    """Return `override` if it makes sense.

    :raises ValueError: it does not; one line that says what would be right.
    """
    if override.scope not in SCOPES:
        raise ValueError(f"scope: expected {either(SCOPES)}, got {describe(override.scope)}")
    if override.kind not in KINDS:
        raise ValueError(f"kind: expected {either(KINDS)}, got {describe(override.kind)}")
    for field in ("name", "endpoint"):
        value = getattr(override, field)
        if not value or len(value) > 256 or not value.isprintable():
            raise ValueError(f"{field}: expected 1 to 256 printable characters, got {describe(value)}")
    if not 0 <= override.weight <= MOST_WEIGHT:
        raise ValueError(f"weight: expected 0 to {MOST_WEIGHT:,}, got {override.weight}")
    if override.endpoint == EVERY_ENDPOINT and override.kind != "maintenance":
        raise ValueError(f"kind: expected maintenance for a whole {override.scope}, got {override.kind}")
    if not 0 < override.percent <= 100:
        raise ValueError(f"percent: expected more than 0 and at most 100, got {override.percent:g}")
    if override.percent != 100 and override.endpoint != EVERY_ENDPOINT:
        raise ValueError(f"percent: expected 100 for a single endpoint, got {override.percent:g}")
    if not SHORTEST <= override.ttl <= LONGEST:
        raise ValueError(f"ttl: expected 1s to 30 days, got {override.ttl:g}s")
    if len(override.author) > 256 or len(override.reason) > 1024:
        raise ValueError("author and reason: expected at most 256 and 1,024 characters")
    return override


def _encode(override: Override) -> bytes:
    """Return the record of an override: what was said, and not what became of it."""
    return _encoder.encode(msgspec.structs.replace(override, expires=0, remembered=False))


def _decode(id: str, record: bytes, **known: object) -> Override:
    override = msgspec.structs.replace(check(_decoder.decode(record)), **known)
    if override.id != id:
        raise ValueError(f"it says that it is {override.id}")
    return override


class OverrideView(View[Override]):
    """The overrides that are known, by id.

    - `ends` is when each ends, by our own clock, whatever is heard of Redis meanwhile.
    - `lost` are those that Redis had and has lost; they are among the records until their end, or until somebody says
      otherwise.
    """

    def __init__(self, name: str, clock: IReactorTime, wall: Callable[[], float]) -> None:
        super().__init__(name, self._made)
        self.ends: dict[str, float] = {}
        self.lost: dict[str, Override] = {}
        self._clock = clock
        # Seconds by which Redis's clock is ahead of ours; a guess until it was read.
        self._ahead = wall() - clock.seconds()
        self._expires: Mapping[str, int] = {}

    def recall(self, kept: Kept, now: float) -> None:
        """Begin with what was known in another life.

        A clock that was put back meanwhile makes none of them hold longer than when they were written.

        :param now: seconds since the epoch, by the clock that `kept` was written by.
        """
        self.version, self.born = kept.overrides.version, kept.overrides.born
        for record, until in kept.overrides.records:
            left = min(until - now, until - kept.at)
            if left <= 0:
                continue
            try:
                override = check(_decoder.decode(record))
            except ValueError as error:
                log.error("an override that was kept on disk cannot be read: {error}", error=error)
                continue
            expires = round((now + left) * 1000)
            self.records[override.id] = msgspec.structs.replace(override, expires=expires, remembered=True)
            self.ends[override.id] = self._clock.seconds() + min(left, override.ttl)

    def kept(self, now: float) -> KeptOverrides:
        """Return what is to be known in the next life.

        :param now: seconds since the epoch.
        """
        ahead = now - self._clock.seconds()
        known = (Ending(_encode(each).decode(), ahead + self.ends[id]) for id, each in self.in_force().items())
        return KeptOverrides(self.version, self.born, tuple(known))

    def in_force(self) -> dict[str, Override]:
        """Return those whose time is not over."""
        now = self._clock.seconds()
        return {id: each for id, each in self.records.items() if self.ends[id] > now}

    def take(self, whole: Whole) -> frozenset[str]:
        """Become what Redis has, and what it has lost; returns the ids of both."""
        now, before = self._clock.seconds(), self.in_force()
        # Nobody has written any since it was emptied; or it went back to what was before our version.  A version of 0
        # is a set that was empty for long.
        emptied = bool(self.born) and not whole.born
        lost = emptied or (whole.born == self.born and 0 < whole.version < self.version)
        self._ahead = whole.now / 1000 - now
        self._expires = whole.ends
        touched = super().take(whole)
        self.lost = {id: each for id, each in before.items() if id not in self.records and (lost or id in self.lost)}
        self.records.update(self.lost)
        self.ends = {id: self._end_of(id, whole, now) for id in self.records}
        return touched

    def _end_of(self, id: str, whole: Whole, now: float) -> float:
        if id in self.lost:
            return self.ends[id]
        ttl = self.records[id].ttl
        return now + min(ttl, (whole.ends[id] - whole.now) / 1000 if id in whole.ends else ttl)

    def apply(self, change: Change) -> Iterable[str]:
        """Apply the next change; returns the ids that it is about."""
        self._expires = {}
        before = self.records.get(change.id)
        touched = super().apply(change)
        made = self.records.get(change.id)
        if made is not None and made is not before:
            self.ends[change.id] = self._clock.seconds() + made.ttl
        self.ends = {id: self.ends[id] for id in self.records}
        for id in touched:
            self.lost.pop(id, None)
        return touched

    def _made(self, name: str, id: str, record: bytes) -> Override:
        made = _decode(id, record, expires=0, remembered=False)
        # The message of a change does not say when it was.
        soon = round((self._clock.seconds() + self._ahead + made.ttl) * 1000)
        return msgspec.structs.replace(made, expires=self._expires.get(id, soon))


class Overrides:
    """The overrides of one mesh.

    Methods that ask Redis return Deferreds that fail with `BusError`.  An override ends at its time also while Redis is
    away.  Those that Redis has lost hold on, and are put back.

    :param kept: what was known in another life of this process: it holds until Redis is read.
    """

    def __init__(self, access: Access, kept: Optional[Kept] = None) -> None:
        self._leases = access.leases(KIND)
        self._clock = access.clock
        self._wall = access.wall
        self._random = access.random
        self._listeners: list[Callable[[], None]] = []
        self._view = self._new_view()
        if kept is not None:
            self._view.recall(kept, access.wall())
        self._in_force = self._view.in_force()
        self._timer: Optional[IDelayedCall] = None
        self._giving: Optional[IDelayedCall] = None
        self._following: Optional[Following] = None
        self._follower = access.follower(self._leases, lambda name: self._view)

    def __repr__(self) -> str:
        return f"<Overrides {len(self._in_force)} in force>"

    def _new_view(self) -> OverrideView:
        return OverrideView(ALL, self._clock, self._wall)

    # --- asking Redis

    def put(self, override: Override) -> Deferred[None]:
        """Put an override in force, in place of what there was for the endpoint."""
        check(override)
        stored = self._leases.put(ALL, override.id, _encode(override), override.ttl)
        return Deferred.fromCoroutine(stored).addCallback(lambda answer: None)

    def remove(self, id: str) -> Deferred[bool]:
        """End an override; fires with whether there was one."""
        removed = Deferred.fromCoroutine(self._leases.remove(ALL, id, "taken back"))
        return removed.addCallback(lambda count: count == 1)

    def all(self) -> Deferred[Sequence[Override]]:
        """Fire with every override in force, and when it ends."""
        return Deferred.fromCoroutine(self._all())

    async def _all(self) -> Sequence[Override]:
        whole = await self._leases.read(ALL)
        assert isinstance(whole, Whole)
        view = self._new_view()
        view.take(whole)
        return [view.records[id] for id in sorted(view.records)]

    # --- following

    def start(self) -> None:
        """Begin to keep up with them."""
        if self._follower is not None:
            self._follower.start()
            self._following = self._follower.follow(ALL, self._changed)

    def stop(self) -> None:
        """Follow them no more."""
        if self._following is not None:
            self._following.stop()
            self._following = None
        if self._follower is not None:
            self._follower.stop()
        for timer in (self._timer, self._giving):
            if timer is not None:
                timer.cancel()
        self._timer = self._giving = None

    def follow(self, changed: Callable[[], None]) -> Following:
        """Call `changed` whenever any has changed."""
        self._listeners.append(changed)
        return Following(lambda: self._listeners.remove(changed))

    def of(self, cluster: str, service: str, instance: str, address: str) -> Optional[Override]:
        """Return the override for one endpoint of a cluster, None if there is none.

        What is said of the cluster goes before what is said of the service.
        """
        if not self._in_force:
            return None
        ids = [f"cluster/{cluster}/{each}" for each in (address, instance) if each]
        if service:
            ids += [f"service/{service}/{each}" for each in (instance, address) if each]
        return next((self._in_force[id] for id in ids if id in self._in_force), None)

    @property
    def in_force(self) -> Sequence[Override]:
        """Every override that is followed, in the order of their ids."""
        return [each for _, each in sorted(self._in_force.items())]

    def kept(self) -> KeptOverrides:
        """Return what is to be known in the next life of this process."""
        return self._view.kept(self._wall())

    def _changed(self, view: OverrideView) -> None:
        self._settle()
        if view.lost and self._giving is None:
            log.warn(
                "the Redis has lost {count} overrides, which hold on and are put back: {ids}",
                count=len(view.lost),
                ids=", ".join(sorted(view.lost)),
            )
            self._giving = self._clock.callLater(GIVE_BACK * self._random.random(), self._give_back)

    def _settle(self) -> None:
        """Find those whose time is not over, see to the next end, and tell everybody if they are others now."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        before, self._in_force = self._in_force, self._view.in_force()
        if self._in_force:
            soonest = min(self._view.ends[id] for id in self._in_force)
            self._timer = self._clock.callLater(soonest - self._clock.seconds(), self._ended)
        if self._in_force != before:
            for each in list(self._listeners):
                each()

    def _ended(self) -> None:
        """The time of one is over; unless somebody has renewed its lease, of which there is no message."""
        self._settle()
        if self._follower is not None:
            self._follower.refresh(ALL)

    # --- what Redis has lost

    def _give_back(self) -> None:
        self._giving = None
        Deferred.fromCoroutine(self._give_back_now()).addErrback(
            lambda failure: log.failure("putting overrides back failed", failure=failure)
        )

    async def _give_back_now(self) -> None:
        for id, override in list(self._view.lost.items()):
            left = self._view.ends.get(id, 0.0) - self._clock.seconds()
            # Somebody else may have put it back meanwhile.
            if left < SHORTEST or id not in self._view.lost:
                continue
            made = msgspec.structs.replace(override, ttl=round(left, 3))
            try:
                await self._leases.put(ALL, id, _encode(made), left)
            except BusError as error:
                log.warn("overrides that the Redis has lost are not put back yet: {error}", error=error)
                if self._following is not None and self._giving is None:
                    self._giving = self._clock.callLater(GIVE_BACK_AGAIN, self._give_back)
                return
            self._view.lost.pop(id, None)
