"""A rate limit: so many calls for each key, with a burst; of this sidecar alone, or of all that share its name.

Admitting a call costs a microsecond or so and no coroutine, unless replies are to have RateLimit fields, or a shared
limit has to ask Redis (see `ratelimit_shared`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Awaitable, Hashable, cast

from pydantic import AfterValidator
from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.families import Families
from twisted_mesh.filters.ratelimit_answer import Fields, explained, left, refusal, telling
from twisted_mesh.filters.ratelimit_key import PARTS_OF, check_part, key_of, keys_of
from twisted_mesh.filters.ratelimit_shared import NEAR, Applied, SharedRateLimit
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.base import check_name
from twisted_mesh.model.units import Interval, Rate
from twisted_mesh.policy.buckets import Buckets
from twisted_mesh.policy.gcra import ROUNDING, Gcra, Verdict

if TYPE_CHECKING:
    from twisted_mesh.redis_call import RedisCall

# Seconds.
_BUDGET = 0.02


def _no_or_a_name(text: str) -> str:
    return check_name(text) if text else text


@dataclass(frozen=True)
class RatelimitSettings:
    """Admits `rate` calls, and up to `burst` of them at once (as many as the rate's own number if 0); refuses the rest.

    `key` says for each of what: source (the client's address by the trusted hops), identity, host, path (for Redis the
    key, which is its other name), method (or command), prefix:SEPARATOR (the path or key up to the first separator),
    route, listener, or header:NAME; several make one key together, none is one limit for all calls.  Calls without a
    header or identity share one limit.  `cost` is how much one call takes, `status` what HTTP clients are told, with
    Retry-After; TCP connections are closed.  With `headers` replies say how much is left, in RateLimit-Limit,
    -Remaining and -Reset.  Up to `max_keys` are remembered.

    Without `shared` it is for this sidecar alone: n of them admit n times the rate.  With `shared: NAME` all sidecars
    of the mesh that use the name count together, at the mesh's Redis.  Most calls need no round trip, as units are
    leased; one that does waits for `budget` at most.  While Redis is late or away each sidecar admits its share: the
    limit divided by the sidecars that use it.
    """

    rate: Rate
    burst: int = 0
    key: tuple[Annotated[str, AfterValidator(check_part)], ...] = ()
    cost: int = 1
    status: int = 429
    headers: bool = False
    max_keys: int = 10_000
    shared: Annotated[str, AfterValidator(_no_or_a_name)] = ""
    budget: Interval = _BUDGET

    def __post_init__(self) -> None:
        if self.rate.count < 1:
            raise ValueError("a rate of 0 would admit nothing: let a route reply instead")
        if self.burst < 0 or self.max_keys < 1:
            raise ValueError("burst is 0 or more, and max_keys 1 or more")
        if not 1 <= self.cost <= (self.burst or self.rate.count):
            raise ValueError("cost is 1 or more, and no more than the burst, or no call would ever be admitted")
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")
        if not self.shared and self.budget != _BUDGET:
            raise ValueError("budget is how long to wait for Redis, which a limit that is not shared never asks")


class RateLimit:
    """Raises `MeshError` of `Kind.RATE_LIMITED` for calls over the limit."""

    __slots__ = (
        "_admitted",
        "_buckets",
        "_cost",
        "_key",
        "_keys",
        "_limit",
        "_near",
        "_near_ahead",
        "_now",
        "_refused",
        "_status",
    )

    def __init__(self, settings: RatelimitSettings, env: Env) -> None:
        rate = settings.rate
        burst = settings.burst or rate.count
        families = Families(env.metrics)
        dropped = families.rate_limit_dropped.labels(env.name)

        def forgot() -> None:
            dropped.value += 1

        self._buckets = Buckets(Gcra(rate.count, rate.per, burst), settings.max_keys, forgot)
        self._key = key_of(settings.key)
        self._keys = keys_of(settings.key)
        self._cost = settings.cost
        self._limit = int(burst * NEAR)
        # The same, as how far ahead of now the arrival is then.
        gcra = self._buckets.gcra
        self._near_ahead = gcra.tolerance - (self._limit + 1) * gcra.interval + ROUNDING
        self._status = settings.status
        self._now = env.now
        self._admitted, self._near, self._refused = (
            families.rate_limited.labels(env.name, each) for each in ("admitted", "near", "refused")
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._buckets)} keys>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if call.count > 1 and call.protocol == "redis":
            return self._each(cast("RedisCall", call), proceed)
        key, now = self._key(call), self._now()
        ahead = self._buckets.admit(key, now, self._cost * call.count)
        if ahead < 0:
            self._take(call, key, now)
        else:
            cell = self._near if ahead >= self._near_ahead else self._admitted
            cell.value += 1
        return proceed(call)

    def explain(self, call: Call) -> Explanation:
        """Say how much of the limit there is for a call like this."""
        verdict = self._buckets.look(self._key(call), self._now(), self._cost * call.count)
        return explained(verdict, self._buckets.gcra.burst)

    def _each(self, call: RedisCall, proceed: Proceed) -> Awaitable[Reply]:
        """Decide for each of several commands."""
        # Late: most sidecars speak no Redis.
        from twisted_mesh.filters.redis_part import proceed_with

        now, take = self._now(), self._buckets.take
        verdicts = [take(key, now, self._cost) for key in self._keys(call)]
        admitted = [each.admitted for each in verdicts]
        self._refused.value += admitted.count(False)
        for each in verdicts:
            if each.admitted:
                (self._near if each.remaining <= self._limit else self._admitted).value += 1
        last = next((each for each in verdicts if not each.admitted), verdicts[0])
        return proceed_with(call, proceed, admitted, refusal(self._status, last))

    def _take(self, call: Call, key: Hashable, now: float) -> Verdict:
        verdict = self._buckets.take(key, now, self._cost * call.count)
        if not verdict.admitted:
            self._refused.value += 1
            raise refusal(self._status, verdict, self._told(verdict))
        cell = self._near if verdict.remaining <= self._limit else self._admitted
        cell.value += 1
        return verdict

    def _told(self, verdict: Verdict) -> Fields:
        return ()


class TellingRateLimit(RateLimit):
    """Tells clients how much is left of their limit."""

    __slots__ = ()

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        # Commands have no fields.
        if call.protocol == "redis":
            return super().__call__(call, proceed)
        return telling(call, proceed, self._told(self._take(call, self._key(call), self._now())))

    def _told(self, verdict: Verdict) -> Fields:
        return left(self._buckets.gcra.burst, verdict)


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "ratelimit"
    settings = RatelimitSettings
    protocols = ("http", "tcp", "redis")

    def in_vain(self, settings: Any, protocol: str) -> list[str]:
        """Name what speaks of the parts of calls that a protocol does not have."""
        if protocol == "http":
            return []
        has = PARTS_OF[protocol]
        key = [each for each in settings.key if each.partition(":")[0] not in has]
        status = settings.status != RatelimitSettings.status
        return ["key"] * bool(key) + ["headers"] * settings.headers + ["status"] * status

    def build(self, settings: Any, env: Env) -> Filter:
        if settings.shared:
            return self._shared(settings, env)
        return TellingRateLimit(settings, env) if settings.headers else RateLimit(settings, env)

    def _shared(self, settings: RatelimitSettings, env: Env) -> Filter:
        if env.limits is None:
            message = "a shared limit needs the mesh's Redis: say where it is with redis:, --redis or MESH_REDIS"
            raise ConfigError([Problem("ratelimit.shared", 0, 0, "", message)])
        rate = settings.rate
        applied = Applied(
            Gcra(rate.count, rate.per, settings.burst or rate.count),
            settings.key,
            settings.cost,
            settings.status,
            settings.headers,
            settings.max_keys,
            settings.budget,
        )
        return SharedRateLimit(applied, env.limits.limit(settings.shared), env)


plugin = _Plugin()
