"""A rate limit of this sidecar: so many calls for each key, with a burst.

It counts for itself: with n sidecars a service gets n times the rate.  Admitting a call costs a microsecond or so and
no coroutine, unless replies are to have RateLimit fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any, Awaitable, Callable, Hashable, Sequence

from pydantic import AfterValidator
from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.fields import is_token
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Rate
from twisted_mesh.policy.buckets import Buckets
from twisted_mesh.policy.gcra import Gcra, Verdict

_Part = Callable[[Call], Hashable]

# What a limit may be for each of, as in the balances that hash; what a call has not counts as one more value.
PARTS: dict[str, _Part] = {
    "source": lambda call: call.client,
    "identity": lambda call: call.identity,
    "host": lambda call: call.host,
    "path": lambda call: call.resource,
    "method": lambda call: call.operation,
    "route": lambda call: "" if call.route is None else call.route.name,
    "listener": lambda call: call.listener,
}
_HEADER = "header:"
# Less than this share of the burst is left: the limit is near.
_NEAR = 0.2


def _key(text: str) -> str:
    if text not in PARTS and not (text.startswith(_HEADER) and is_token(text[len(_HEADER) :])):
        raise expected(f"{', '.join(PARTS)} or header:NAME", text)
    return text


@dataclass(frozen=True)
class RatelimitSettings:
    """Admits `rate` calls, and up to `burst` of them at once (as many as the rate's own number if 0); refuses the rest.

    `key` says for each of what: source (the client's address by the trusted hops), identity, host, path (or the key of
    a Redis command), method (or command), route, listener, or header:NAME; several make one key together, none is one
    limit for all calls.  Calls without a header or identity share one limit.  `cost` is how much one call takes,
    `status` what HTTP clients are told, with Retry-After; TCP connections are closed.  With `headers` replies say how
    much is left, in RateLimit-Limit, -Remaining and -Reset.  Up to `max_keys` are remembered.  It is for this sidecar
    alone: n of them admit n times the rate.
    """

    rate: Rate
    burst: int = 0
    key: tuple[Annotated[str, AfterValidator(_key)], ...] = ()
    cost: int = 1
    status: int = 429
    headers: bool = False
    max_keys: int = 10_000

    def __post_init__(self) -> None:
        if self.rate.count < 1:
            raise ValueError("a rate of 0 would admit nothing: let a route reply instead")
        if self.burst < 0 or self.max_keys < 1:
            raise ValueError("burst is 0 or more, and max_keys 1 or more")
        if not 1 <= self.cost <= (self.burst or self.rate.count):
            raise ValueError("cost is 1 or more, and no more than the burst, or no call would ever be admitted")
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")


class RateLimit:
    """Raises `MeshError` of `Kind.RATE_LIMITED` for calls over the limit."""

    __slots__ = ("_admitted", "_buckets", "_cost", "_dropped", "_key", "_limit", "_near", "_now", "_refused", "_status")

    def __init__(self, settings: RatelimitSettings, env: Env) -> None:
        rate = settings.rate
        burst = settings.burst or rate.count
        self._buckets = Buckets(Gcra(rate.count, rate.per, burst), settings.max_keys)
        self._key = _reader(settings.key)
        self._cost = settings.cost
        self._limit = int(burst * _NEAR)
        self._status = settings.status
        self._now = env.now
        families = Families(env.metrics)
        self._admitted, self._near, self._refused = (
            families.rate_limited.labels(env.name, each) for each in ("admitted", "near", "refused")
        )
        self._dropped = families.rate_limit_dropped.labels(env.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._buckets)} keys>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        self._take(call)
        return proceed(call)

    def _take(self, call: Call) -> Verdict:
        buckets = self._buckets
        verdict = buckets.take(self._key(call), self._now(), self._cost * call.count)
        if not verdict.admitted:
            self._refused.value += 1
            raise MeshError(
                Kind.RATE_LIMITED,
                "over the rate limit",
                origin=Origin.CLIENT,
                status=self._status,
                headers=self._fields(verdict),
            )
        cell = self._near if verdict.remaining <= self._limit else self._admitted
        cell.value += 1
        self._dropped.value = buckets.dropped
        return verdict

    def _fields(self, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        """Return the fields of a refusal; whole seconds, rounded up."""
        if verdict.retry_after < 0:
            return ()
        return (("Retry-After", str(max(1, ceil(verdict.retry_after)))),)


class TellingRateLimit(RateLimit):
    """Tells clients how much is left of their limit (draft-ietf-httpapi-ratelimit-headers, version 3 to 6)."""

    __slots__ = ()

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        return self._tell(call, proceed)

    async def _tell(self, call: Call, proceed: Proceed) -> Reply:
        verdict = self._take(call)
        reply = await proceed(call)
        for each in self._left(verdict):
            reply.headers.set(*each)
        return reply

    def _fields(self, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        return (*super()._fields(verdict), *self._left(verdict))

    def _left(self, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        return (
            ("RateLimit-Limit", str(self._buckets.gcra.burst)),
            ("RateLimit-Remaining", str(verdict.remaining)),
            ("RateLimit-Reset", str(ceil(verdict.reset_after))),
        )


def _reader(keys: Sequence[str]) -> _Part:
    parts = [_header(each[len(_HEADER) :]) if each.startswith(_HEADER) else PARTS[each] for each in keys]
    if not parts:
        return lambda call: None
    if len(parts) == 1:
        return parts[0]
    return lambda call: tuple([each(call) for each in parts])


def _header(name: str) -> _Part:
    lowered = name.lower().encode()
    return lambda call: call.headers.get_bytes(lowered)


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "ratelimit"
    settings = RatelimitSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: Any, env: Env) -> Filter:
        return TellingRateLimit(settings, env) if settings.headers else RateLimit(settings, env)


plugin = _Plugin()
