"""A rate limit that all sidecars of a mesh count together, at the mesh's Redis.

Units are leased (see `policy.rate_lease`), so that most calls are decided here at once.  A call for which there is none
waits for the answer, together with others of its key, for as long as the budget says.  While Redis is late or away,
this sidecar's share of the limit is what counts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Awaitable, Hashable, NamedTuple, Sequence, cast
from weakref import ref

from twisted_mesh.call import Call, Reply
from twisted_mesh.families import Families
from twisted_mesh.filters.ratelimit_alone import Alone
from twisted_mesh.filters.ratelimit_answer import explained, left, refusal, telling
from twisted_mesh.filters.ratelimit_key import key_of, keys_of, name_of
from twisted_mesh.filters.ratelimit_questions import RESULTS, Questions, Waiter
from twisted_mesh.filters.ratelimit_several import Several
from twisted_mesh.interfaces import Env, Explanation, Proceed, SharedLimitLike
from twisted_mesh.policy.gcra import Gcra, Verdict
from twisted_mesh.policy.rate_lease import RateLease
from twisted_mesh.sweep import Sweep

if TYPE_CHECKING:
    from twisted_mesh.redis_call import RedisCall

# Less than this share of the burst is left: the limit is near.
NEAR = 0.2
# Seconds between two looks at leases that have come to their end.
LOOK_EVERY = 0.5


class Applied(NamedTuple):
    """What is applied: the whole limit, for each of which key, what a call costs and refused ones are told."""

    gcra: Gcra
    key: Sequence[str]
    cost: int
    status: int
    tells: bool
    max_keys: int
    budget: float


class SharedRateLimit:
    """Raises `MeshError` of `Kind.RATE_LIMITED` for calls over the limit."""

    def __init__(self, applied: Applied, limit: SharedLimitLike, env: Env) -> None:
        self._limit = limit
        limit.join(self)
        self._applied = applied
        self._gcra = gcra = applied.gcra
        self._cost = applied.cost
        self._tells = applied.tells
        self._key = key_of(applied.key)
        self._keys = keys_of(applied.key)
        self._now = env.now
        self._leases: dict[Hashable, RateLease] = {}
        # Those with units that may have to go back.
        self._holding: dict[Hashable, RateLease] = {}
        self._swept = float("-inf")
        self._near = int(gcra.burst * NEAR)
        self._cells = cells = _Cells(Families(env.metrics), env.name)
        self._alone = Alone(limit, gcra, applied.cost, env, cells.alone)
        # Weakly, as all that outlasts a call: one that is not in force any more goes when the last call does.
        own = ref(self)
        self._sweep = Sweep(env.clock, LOOK_EVERY)
        self._sweep.add(partial(_look, own))
        _show_sidecars(own, env)
        self._questions = Questions(
            limit,
            gcra,
            applied.cost,
            applied.budget,
            env,
            name_of=partial(name_of, applied.key),
            alone=self._alone,
            cells=cells.asked,
            granted=partial(_hold, own),
        )

    def __repr__(self) -> str:
        return f"<SharedRateLimit {self._limit.name} {len(self._leases)} keys>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if call.count > 1 and call.protocol == "redis":
            return self._each(cast("RedisCall", call), proceed)
        key = self._key(call)
        units = self._cost * call.count
        lease = self._leases.get(key)
        if lease is None:
            lease = self._new(key)
        lease.demand += units
        tokens = lease.tokens
        if tokens < units:
            return self._without(call, proceed, key, lease, units)
        lease.tokens = tokens - units
        if lease.tokens <= lease.low and not lease.asking and self._questions.answers():
            self._questions.ask(key, lease, [])
        cells = self._cells
        cell = cells.near if lease.left <= self._near else cells.admitted
        cell.value += 1
        if self._tells:
            return telling(call, proceed, left(self._gcra.burst, lease.verdict(True, self._now())))
        return proceed(call)

    def explain(self, call: Call) -> Explanation:
        """Say whether units are at hand for a call like this, or who would decide."""
        units, lease = self._cost * call.count, self._leases.get(self._key(call))
        if units > self._gcra.burst:
            return Explanation("refuse", f"it costs {units}, and there are never more than {self._gcra.burst}")
        if lease is not None and lease.tokens >= units:
            return Explanation("pass", f"{lease.tokens} leased units are at hand")
        if not self._questions.answers():
            return Explanation("maybe", f"Redis is away or late: one part in {self._limit.sidecars} is admitted here")
        now = self._now()
        if lease is not None and now < lease.pause_until:
            return explained(lease.verdict(False, now), self._gcra.burst)
        return Explanation("maybe", "no leased units are at hand: Redis is asked")

    def _without(self, call: Call, proceed: Proceed, key: Hashable, lease: RateLease, units: int) -> Awaitable[Reply]:
        """There are not enough units for a call."""
        if units > self._gcra.burst:
            return self._end(call, proceed, Verdict(False, lease.left, 0.0, -1.0))
        if self._questions.worth_waiting(key, lease):
            return self._wait(call, proceed, key, lease, units)
        now = self._now()
        if now < lease.pause_until:
            return self._end(call, proceed, lease.verdict(False, now))
        return self._end(call, proceed, self._alone.decide(lease, units))

    async def _wait(self, call: Call, proceed: Proceed, key: Hashable, lease: RateLease, units: int) -> Reply:
        waiter = self._questions.wait(key, lease, units)
        try:
            admitted = await waiter.told
        except BaseException:
            self._questions.leave(key, waiter)
            raise
        if admitted is None:
            verdict = self._alone.decide(lease, units)
        else:
            verdict = lease.verdict(admitted, self._now())
        return await self._end(call, proceed, verdict)

    def _end(self, call: Call, proceed: Proceed, verdict: Verdict) -> Awaitable[Reply]:
        cells = self._cells
        if not verdict.admitted:
            cells.refused.value += 1
            told = left(self._gcra.burst, verdict) if self._tells else ()
            raise refusal(self._applied.status, verdict, told)
        cell = cells.near if verdict.remaining <= self._near else cells.admitted
        cell.value += 1
        return telling(call, proceed, left(self._gcra.burst, verdict)) if self._tells else proceed(call)

    # --- several commands in one call

    async def _each(self, call: RedisCall, proceed: Proceed) -> Reply:
        """Decide for each of several commands; whatever has to be asked is asked at once."""
        # Late: most sidecars speak no Redis.
        from twisted_mesh.filters.redis_part import proceed_with

        cost, admitted = self._cost, [False] * call.count
        places: dict[Hashable, list[int]] = {}
        for at, key in enumerate(self._keys(call)):
            places.setdefault(key, []).append(at)
        waiting: list[tuple[Hashable, Waiter, Several]] = []
        for key, its in places.items():
            lease = self._leases.get(key) or self._new(key)
            lease.demand += cost * len(its)
            several = Several(lease, its, admitted)
            several.spend(cost)
            if several.left and self._questions.worth_waiting(key, lease):
                wanted = cost * (len(several.left) - 1)
                waiting.append((key, self._questions.wait(key, lease, cost, wanted), several))
            elif several.left and self._now() >= lease.pause_until:
                several.alone(self._alone.decide, cost)
        try:
            for _, waiter, several in waiting:
                several.told(await waiter.told, self._alone.decide, cost)
        except BaseException:
            for key, waiter, _ in waiting:
                self._questions.leave(key, waiter)
            raise
        self._cells.refused.value += admitted.count(False)
        near = any(self._leases[key].left <= self._near for key in places if key in self._leases)
        (self._cells.near if near else self._cells.admitted).value += admitted.count(True)
        return await proceed_with(call, proceed, admitted, refusal(self._applied.status, Verdict(False, 0, 0.0, 0.0)))

    # --- keys, and leases that have come to their end

    def _new(self, key: Hashable) -> RateLease:
        leases, now = self._leases, self._now()
        if len(leases) >= self._applied.max_keys:
            self._make_room(now)
        leases[key] = lease = RateLease(self._gcra, now)
        return lease

    def _make_room(self, now: float) -> None:
        # Looking at all of them is worth it when some may have become idle since the last look.
        if now >= self._swept + self._gcra.tolerance:
            self._swept = now
            for each in [key for key, lease in self._leases.items() if lease.idle(now)]:
                del self._leases[each]
        if len(self._leases) >= self._applied.max_keys:
            del self._leases[next(iter(self._leases))]
            self._cells.dropped.value += 1

    def hold(self, key: Hashable, lease: RateLease) -> None:
        """Have units that nobody uses go back."""
        if lease.tokens:
            self._holding[key] = lease
            self._sweep.wake()

    def look(self) -> bool:
        """Give back what nobody used; returns whether there is more to look at."""
        now = self._now()
        back: list[tuple[str, int]] = []
        for key, lease in list(self._holding.items()):
            if lease.tokens and (lease.asking or now < lease.ends):
                continue
            del self._holding[key]
            units = lease.give_back()
            if units:
                back.append((name_of(self._applied.key, key), units))
        if back and self._questions.answers():
            self._limit.give_back(self._gcra, back)
        return bool(self._holding)

    def retire(self) -> None:
        """This sidecar is no longer one of those that share the limit, or not for this filter."""
        self._limit.leave(self)

    def show(self) -> None:
        """Bring the gauges up to date."""
        self._cells.sidecars.value = self._limit.sidecars


def _look(limit: ref[SharedRateLimit]) -> bool:
    found = limit()
    return found is not None and found.look()


def _hold(limit: ref[SharedRateLimit], key: Hashable, lease: RateLease) -> None:
    found = limit()
    if found is not None:
        found.hold(key, lease)


def _show_sidecars(limit: ref[SharedRateLimit], env: Env) -> None:
    """Have the number of sidecars shown as long as a limit is in force."""

    def show() -> None:
        found = limit()
        if found is None:
            unhook()
        else:
            found.show()

    unhook = env.metrics.on_collect(show)


class _Cells:
    """What a shared limit counts."""

    __slots__ = ("admitted", "alone", "asked", "dropped", "near", "refused", "sidecars")

    def __init__(self, families: Families, name: str) -> None:
        self.admitted, self.near, self.refused = (
            families.rate_limited.labels(name, each) for each in ("admitted", "near", "refused")
        )
        self.dropped = families.rate_limit_dropped.labels(name)
        self.alone = families.rate_limit_alone.labels(name)
        self.sidecars = families.rate_limit_sidecars.labels(name)
        self.asked = {each: families.rate_limit_asked.labels(name, each) for each in RESULTS}
