"""The questions of a shared rate limit to Redis, and the calls that wait for the answers."""

from __future__ import annotations

from functools import partial
from typing import Callable, Hashable, Mapping, NamedTuple, Optional

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twisted_mesh.filters.ratelimit_alone import Alone
from twisted_mesh.interfaces import Env, SharedLimitLike
from twisted_mesh.metrics import Cell
from twisted_mesh.park import Parked
from twisted_mesh.policy.gcra import Gcra, Grant
from twisted_mesh.policy.rate_lease import Ask, RateLease

# Questions on their way at once.  Past this Redis has stopped, and others need its connection too.
MOST = 256
# Seconds without questions after one that failed.
REST = 1.0
# What becomes of questions.
RESULTS = ("granted", "partly", "none", "late", "failed")


class Waiter(NamedTuple):
    """A call that waits for `units`; it is told whether it has them, None if nobody knows.

    `wanted` are those for other commands that came with it.
    """

    units: int
    wanted: int
    told: Parked[Optional[bool]]


class Question:
    """What Redis was asked of one key, until when an answer is waited for, and by whom."""

    __slots__ = ("asked", "key", "late", "lease", "timer", "until", "waiters")

    def __init__(self, key: Hashable, lease: RateLease, asked: Ask, waiters: list[Waiter], until: float) -> None:
        self.key = key
        self.lease = lease
        self.asked = asked
        self.waiters = waiters
        self.until = until
        self.late = False
        self.timer: Optional[IDelayedCall] = None


class Questions:
    """Asks, one question at a time for each key.

    :param cost: what a call usually costs.
    :param budget: seconds after which nobody waits for an answer any more.
    :param name_of: returns what Redis calls a key.
    :param cells: count what becomes of questions, by `RESULTS`.
    :param granted: called with the key and the lease of each answer.
    """

    def __init__(
        self,
        limit: SharedLimitLike,
        gcra: Gcra,
        cost: int,
        budget: float,
        env: Env,
        *,
        name_of: Callable[[Hashable], str],
        alone: Alone,
        cells: Mapping[str, Cell],
        granted: Callable[[Hashable, RateLease], None],
    ) -> None:
        self._limit = limit
        self._gcra = gcra
        self._cost = cost
        self._budget = budget
        self._env = env
        self._name_of = name_of
        self._alone = alone
        self._cells = cells
        self._granted = granted
        self._open: dict[Hashable, Question] = {}
        self._late = 0
        self._rest_until = 0.0

    def __repr__(self) -> str:
        return f"<Questions {len(self._open)} on their way, {self._late} late>"

    def answers(self) -> bool:
        """Whether a question is worth asking now."""
        return (
            self._limit.connected and not self._late and len(self._open) < MOST and self._env.now() >= self._rest_until
        )

    def worth_waiting(self, key: Hashable, lease: RateLease) -> bool:
        """Whether a call for which there are not enough units is to wait for an answer."""
        asked = self._open.get(key)
        if asked is not None:
            return not asked.late
        return self._env.now() >= lease.pause_until and self.answers()

    def wait(self, key: Hashable, lease: RateLease, units: int, wanted: int = 0) -> Waiter:
        """Wait for the answer to a question, which is asked if it has not been."""
        waiter = Waiter(units, wanted, Parked())
        asked = self._open.get(key)
        if asked is None:
            self.ask(key, lease, [waiter])
        else:
            asked.waiters.append(waiter)
        return waiter

    def leave(self, key: Hashable, waiter: Waiter) -> None:
        """A call was cut while it waited."""
        asked = self._open.get(key)
        if asked is not None and waiter in asked.waiters:
            asked.waiters.remove(waiter)

    def ask(self, key: Hashable, lease: RateLease, waiters: list[Waiter], until: Optional[float] = None) -> None:
        """Ask for what these wait for, and for what will be needed."""
        now = self._env.now()
        first = waiters[0].units if waiters else 0
        units = sum(each.units + each.wanted for each in waiters)
        asked = lease.ask(min(units, self._gcra.burst), first, self._cost, self._limit.sidecars, now)
        question = Question(key, lease, asked, waiters, now + self._budget if until is None else until)
        self._open[key] = question
        question.timer = self._env.clock.callLater(max(0.0, question.until - now), self._is_late, question)
        answer = self._limit.ask(self._name_of(key), self._gcra, asked)
        answer.addCallbacks(partial(self._answered, question), partial(self._failed, question))
        answer.addErrback(self._broken)

    # --- what becomes of them

    def _is_late(self, question: Question) -> None:
        question.late = True
        self._late += 1
        self._cells["late"].value += 1
        self._alone.because(f"Redis did not answer within {self._budget:g} s")
        self._nobody_knows(question)

    def _nobody_knows(self, question: Question) -> None:
        waiters, question.waiters = question.waiters, []
        for each in waiters:
            each.told.fire(None)

    def _over(self, question: Question) -> None:
        del self._open[question.key]
        if question.late:
            self._late -= 1
        elif question.timer is not None:
            question.timer.cancel()

    def _answered(self, question: Question, grant: Grant) -> None:
        self._over(question)
        lease = question.lease
        whole = lease.answered(grant, self._cost, self._env.random.random, self._env.now())
        self._granted(question.key, lease)
        if not question.late:
            self._cells["granted" if whole else "partly" if grant.granted else "none"].value += 1
            self._alone.because("")
        self._hand_out(question, whole)

    def _hand_out(self, question: Question, whole: bool) -> None:
        lease = question.lease
        rest: list[Waiter] = []
        told: list[tuple[Waiter, bool]] = []
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
            self.ask(question.key, lease, rest, question.until)
        # Last, as each of them runs a call, which may come here again.
        for waiter, admitted in told:
            waiter.told.fire(admitted)

    def _failed(self, question: Question, failure: Failure) -> None:
        self._over(question)
        question.lease.failed(question.asked)
        self._cells["failed"].value += 1
        self._rest_until = self._env.now() + REST
        self._alone.because(failure.getErrorMessage())
        self._nobody_knows(question)

    def _broken(self, failure: Failure) -> None:
        self._env.log.failure(
            "the answer to a question about {limit} was not taken in", failure, limit=self._limit.name
        )
