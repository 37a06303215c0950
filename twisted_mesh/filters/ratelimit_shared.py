"""A rate limit that all sidecars of a mesh count together, at the mesh's Redis.

Units are leased (see `policy.rate_lease`), so that most calls are decided here at once.  A call for which there is none
waits for the answer, together with others of its key, for as long as the budget says.  While Redis is late or away,
this sidecar's share of the limit is what counts.
"""

from __future__ import annotations

from functools import partial
from typing import Awaitable, Hashable, NamedTuple, Optional, Sequence
from weakref import ref

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twisted_mesh.call import Call, Reply
from twisted_mesh.families import Families
from twisted_mesh.filters.ratelimit_answer import left, refusal
from twisted_mesh.filters.ratelimit_key import key_of, name_of
from twisted_mesh.interfaces import Env, Proceed, SharedLimitLike
from twisted_mesh.park import Parked
from twisted_mesh.policy.gcra import Gcra, Grant, Verdict
from twisted_mesh.policy.rate_lease import Ask, RateLease
from twisted_mesh.sweep import Sweep

# Less than this share of the burst is left: the limit is near.
NEAR = 0.2
# Questions on their way at once.  Past this Redis has stopped, and others need its connection too.
MOST_ASKED = 256
# Seconds without questions after one that failed.
REST = 1.0
# Seconds between two looks at leases that have come to their end.
LOOK_EVERY = 0.5
# Seconds between two log lines.
LOG_EVERY = 10.0


class Applied(NamedTuple):
    """What is applied: the whole limit, for each of which key, what a call costs and refused ones are told."""

    gcra: Gcra
    key: Sequence[str]
    cost: int
    status: int
    tells: bool
    max_keys: int
    budget: float


class _Waiter(NamedTuple):
    """A call that waits; it is told whether it is admitted, None if nobody knows."""

    units: int
    told: Parked[Optional[bool]]


class _Question:
    """What Redis was asked of one key, and who waits for the answer."""

    __slots__ = ("asked", "key", "late", "lease", "timer", "until", "waiters")

    def __init__(self, key: Hashable, lease: RateLease, asked: Ask, waiters: list[_Waiter], until: float) -> None:
        self.key = key
        self.until = until
        self.lease = lease
        self.asked = asked
        self.waiters = waiters
        self.late = False
        self.timer: Optional[IDelayedCall] = None


class SharedRateLimit:
    """Raises `MeshError` of `Kind.RATE_LIMITED` for calls over the limit."""

    def __init__(self, applied: Applied, limit: SharedLimitLike, env: Env) -> None:
        self.limit = limit
        self._applied = applied
        self._gcra = applied.gcra
        self._cost = applied.cost
        self._tells = applied.tells
        self._key = key_of(applied.key)
        self._env = env
        self._now = env.now
        self._leases: dict[Hashable, RateLease] = {}
        # Those with units that may have to go back.
        self._holding: dict[Hashable, RateLease] = {}
        self._questions: dict[Hashable, _Question] = {}
        self._late = 0
        self._rest_until = 0.0
        self._share: Optional[tuple[int, Gcra]] = None
        self._swept = float("-inf")
        self._said_at = float("-inf")
        self._alone_for = ""
        self._limit_near = int(applied.gcra.burst * NEAR)
        # Weakly, so that one that is not in force any more goes when the last call does.
        self._sweep = Sweep(env.clock, LOOK_EVERY)
        self._sweep.add(partial(_look, ref(self)))
        self._cells = _Cells(Families(env.metrics), env.name)
        _show_sidecars(ref(self), env)

    def __repr__(self) -> str:
        return f"<SharedRateLimit {self.limit.name} {len(self._leases)} keys>"

    # --- the hot path

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
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
        if lease.tokens <= lease.low and not lease.asking and self._answers():
            self._ask(key, lease, [])
        cells = self._cells
        cell = cells.near if lease.left <= self._limit_near else cells.admitted
        cell.value += 1
        if self._tells:
            return self._told(call, proceed, lease.verdict(True, self._now()))
        return proceed(call)

    def _without(self, call: Call, proceed: Proceed, key: Hashable, lease: RateLease, units: int) -> Awaitable[Reply]:
        """There are not enough units for a call."""
        now = self._now()
        if units > self._gcra.burst:
            return self._end(call, proceed, Verdict(False, lease.left, 0.0, -1.0))
        asked = self._questions.get(key)
        if asked is not None and not asked.late:
            return self._wait(call, proceed, key, lease, units)
        if now < lease.pause_until:
            return self._end(call, proceed, lease.verdict(False, now))
        if asked is not None or not self._answers():
            return self._end(call, proceed, self._decide_alone(lease, units))
        return self._wait(call, proceed, key, lease, units)

    def _end(self, call: Call, proceed: Proceed, verdict: Verdict) -> Awaitable[Reply]:
        self._count(verdict)
        return self._told(call, proceed, verdict) if self._tells else proceed(call)

    def _count(self, verdict: Verdict) -> None:
        cells = self._cells
        if not verdict.admitted:
            cells.refused.value += 1
            told = left(self._gcra.burst, verdict) if self._tells else ()
            raise refusal(self._applied.status, verdict, told)
        cell = cells.near if verdict.remaining <= self._limit_near else cells.admitted
        cell.value += 1

    async def _told(self, call: Call, proceed: Proceed, verdict: Verdict) -> Reply:
        reply = await proceed(call)
        for each in left(self._gcra.burst, verdict):
            reply.headers.set(*each)
        return reply

    async def _wait(self, call: Call, proceed: Proceed, key: Hashable, lease: RateLease, units: int) -> Reply:
        waiter = _Waiter(units, Parked())
        asked = self._questions.get(key)
        if asked is None:
            self._ask(key, lease, [waiter])
        else:
            asked.waiters.append(waiter)
        try:
            admitted = await waiter.told
        except BaseException:
            self._gone(key, waiter)
            raise
        if admitted is None:
            verdict = self._decide_alone(lease, units)
        else:
            verdict = lease.verdict(admitted, self._now())
        return await self._end(call, proceed, verdict)

    def _gone(self, key: Hashable, waiter: _Waiter) -> None:
        """A call was cut while it waited."""
        asked = self._questions.get(key)
        if asked is not None and waiter in asked.waiters:
            asked.waiters.remove(waiter)

    # --- keys

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
            first = next(iter(self._leases))
            del self._leases[first]
            self._cells.dropped.value += 1

    # --- Redis

    def _answers(self) -> bool:
        """Whether a question is worth asking now."""
        return (
            self.limit.connected
            and not self._late
            and len(self._questions) < MOST_ASKED
            and self._now() >= self._rest_until
        )

    def _ask(self, key: Hashable, lease: RateLease, waiters: list[_Waiter], until: Optional[float] = None) -> None:
        now = self._now()
        first = waiters[0].units if waiters else 0
        asked = lease.ask(sum(each.units for each in waiters), first, self._cost, self.limit.sidecars, now)
        question = _Question(key, lease, asked, waiters, now + self._applied.budget if until is None else until)
        self._questions[key] = question
        question.timer = self._env.clock.callLater(max(0.0, question.until - now), self._is_late, question)
        answer = self.limit.ask(name_of(self._applied.key, key), self._gcra, asked)
        answer.addCallbacks(partial(self._answered, question), partial(self._failed, question))
        answer.addErrback(self._broken)

    def _is_late(self, question: _Question) -> None:
        question.late = True
        self._late += 1
        self._cells.asked["late"].value += 1
        self._is_alone(f"Redis did not answer within {self._applied.budget:g} s")
        waiters, question.waiters = question.waiters, []
        for each in waiters:
            each.told.fire(None)

    def _over(self, question: _Question) -> None:
        del self._questions[question.key]
        if question.late:
            self._late -= 1
        elif question.timer is not None:
            question.timer.cancel()

    def _answered(self, question: _Question, grant: Grant) -> None:
        self._over(question)
        lease = question.lease
        whole = lease.answered(grant, self._cost, self._env.random.random, self._now())
        self._cells.granted(question, grant, whole)
        if lease.tokens:
            self._holding[question.key] = lease
            self._sweep.wake()
        if not question.late:
            self._is_alone("")
        self._hand_out(question, whole)

    def _hand_out(self, question: _Question, whole: bool) -> None:
        lease = question.lease
        rest: list[_Waiter] = []
        told: list[tuple[_Waiter, bool]] = []
        for each in question.waiters:
            if lease.tokens >= each.units:
                lease.tokens -= each.units
                told.append((each, True))
            elif whole:
                rest.append(each)
            else:
                told.append((each, False))
        if rest:
            # Within the time that they have: they are not to wait twice as long.
            self._ask(question.key, lease, rest, question.until)
        # Last, as each of them runs a call, which may come here again.
        for waiter, admitted in told:
            waiter.told.fire(admitted)

    def _failed(self, question: _Question, failure: Failure) -> None:
        self._over(question)
        question.lease.failed(question.asked)
        self._cells.asked["failed"].value += 1
        self._rest_until = self._now() + REST
        self._is_alone(failure.getErrorMessage())
        for each in question.waiters:
            each.told.fire(None)

    def _broken(self, failure: Failure) -> None:
        self._env.log.failure("the answer to a question about {limit} was not taken in", failure, limit=self.limit.name)

    # --- alone

    def _decide_alone(self, lease: RateLease, units: int) -> Verdict:
        if not self.limit.connected:
            self._is_alone("Redis is away")
        self._cells.alone.value += 1
        return lease.alone(units, self._own_share(units), self._now())

    def _own_share(self, units: int) -> Gcra:
        """Return the limit divided by the sidecars that share it; a call that costs more than that must still pass."""
        sidecars = self.limit.sidecars
        share = self._share
        if share is None or share[0] != sidecars:
            burst = max(self._cost, round(self._gcra.burst / sidecars))
            self._share = share = sidecars, Gcra(1.0, self._gcra.interval * sidecars, burst)
        return share[1] if units <= share[1].burst else Gcra(1.0, share[1].interval, units)

    def _is_alone(self, why: str) -> None:
        """Say that this sidecar decides alone from now on, and why, or that it does not any more."""
        before, self._alone_for = self._alone_for, why
        if bool(before) == bool(why):
            return
        now = self._now()
        if now - self._said_at < LOG_EVERY:
            return
        self._said_at = now
        if why:
            self._env.log.warn(
                "{why}: of the shared limit {limit} one part in {sidecars} is admitted here until it answers",
                why=why,
                limit=self.limit.name,
                sidecars=self.limit.sidecars,
            )
        else:
            self._env.log.info("the limit {limit} is shared again", limit=self.limit.name)

    def show(self) -> None:
        """Bring the gauges up to date."""
        self._cells.sidecars.value = self.limit.sidecars

    # --- leases that have come to their end

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
        if back and self._answers():
            self.limit.give_back(self._gcra, back)
        return bool(self._holding)


def _look(limit: ref[SharedRateLimit]) -> bool:
    found = limit()
    return found is not None and found.look()


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
        self.asked = {
            each: families.rate_limit_asked.labels(name, each)
            for each in ("granted", "partly", "none", "late", "failed")
        }

    def granted(self, question: _Question, grant: Grant, whole: bool) -> None:
        """Count an answer that came in time; one that was late is counted already."""
        if not question.late:
            self.asked["granted" if whole else "partly" if grant.granted else "none"].value += 1
