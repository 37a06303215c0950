"""Overrides: what operators say of endpoints at run time, with an author, a reason and an end."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.bus.access import Access
from twisted_mesh.bus.follow import Following
from twisted_mesh.bus.leases import Whole
from twisted_mesh.bus.view import View
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


class Override(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One override.

    - `scope` and `name` say whose endpoint it is: a ``service`` by its name, or a ``cluster`` of the configuration;
      `endpoint` is the instance's id, or an address as /clusters shows it, or ``*`` for the whole cluster or service.
    - `kind` is ``weight`` (then `weight`; 0 takes no calls), ``drain`` (no new calls) or ``maintenance`` (no calls, and
      no health checks); of ``*`` there is only the last, for `percent` of the calls.
    - `ttl` is how long it holds, in seconds from `at` (seconds since the epoch, by the author's clock).
    - `expires` is when it ends, in ms of Redis's clock; 0 where that is not known.
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


def _decode(name: str, id: str, record: bytes) -> Override:
    override = check(_decoder.decode(record))
    if override.id != id:
        raise ValueError(f"it says that it is {override.id}")
    return override


class OverrideView(View[Override]):
    """The overrides in force, by id."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _decode)


class Overrides:
    """The overrides of one mesh.

    Methods that ask Redis return Deferreds that fail with `BusError`.  An override ends at its time also while Redis is
    away.
    """

    def __init__(self, access: Access) -> None:
        self._leases = access.leases(KIND)
        self._clock = access.clock
        self._listeners: list[Callable[[], None]] = []
        self._view = OverrideView(ALL)
        # When each ends at the latest, by our own clock.
        self._ends: dict[Override, float] = {}
        self._timer: Optional[IDelayedCall] = None
        self._following: Optional[Following] = None
        self._follower = access.follower(self._leases, lambda name: self._view)

    def __repr__(self) -> str:
        return f"<Overrides {len(self._view.records)} in force>"

    # --- asking Redis

    def put(self, override: Override) -> Deferred[None]:
        """Put an override in force, in place of what there was for the endpoint."""
        check(override)
        stored = self._leases.put(ALL, override.id, _encoder.encode(override), override.ttl)
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
        view = OverrideView(ALL)
        view.take(whole)
        return [msgspec.structs.replace(view.records[id], expires=whole.ends.get(id, 0)) for id in sorted(view.records)]

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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def follow(self, changed: Callable[[], None]) -> Following:
        """Call `changed` whenever any has changed."""
        self._listeners.append(changed)
        return Following(lambda: self._listeners.remove(changed))

    def of(self, cluster: str, service: str, instance: str, address: str) -> Optional[Override]:
        """Return the override for one endpoint of a cluster, None if there is none.

        What is said of the cluster goes before what is said of the service.
        """
        if not self._ends:
            return None
        ids = [f"cluster/{cluster}/{each}" for each in (address, instance) if each]
        if service:
            ids += [f"service/{service}/{each}" for each in (instance, address) if each]
        found = (self._view.records.get(id) for id in ids)
        return next((each for each in found if each is not None and each in self._ends), None)

    @property
    def in_force(self) -> Sequence[Override]:
        """Every override that is followed, in the order of their ids."""
        return [each for _, each in sorted(self._view.records.items()) if each in self._ends]

    def _changed(self, view: OverrideView) -> None:
        now = self._clock.seconds()
        self._ends = {each: self._ends.get(each, now + each.ttl) for each in view.records.values()}
        self._end()

    def _end(self) -> None:
        """End those whose time is over, and tell everybody."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        now = self._clock.seconds()
        self._ends = {each: end for each, end in self._ends.items() if end > now}
        if self._ends:
            self._timer = self._clock.callLater(min(self._ends.values()) - now, self._end)
        for each in list(self._listeners):
            each()
