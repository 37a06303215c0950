"""How many tries may be added to what callers ask for, so that retries do not bring down what is in trouble already.

Finagle's RetryBudget: retries are a share of the calls of late, and a few a second more, so that a quiet route does not
fail for want of calls.  A share of what is in flight, as Envoy has it, would grow with the trouble: calls that fail
slowly are many.
"""

from __future__ import annotations

from typing import NamedTuple

# Parts that a window is counted in: how coarsely it forgets.
_PARTS = 10


class BudgetRule(NamedTuple):
    """Retries may be `percent` of the calls of the last `window` seconds, and `least` a second in any case."""

    percent: float = 20.0
    least: float = 3.0
    window: float = 10.0


class RetryBudget:
    """Counts calls and retries.  Times are seconds of one monotonic clock.

    Where every call counts, what `call` does may be written out: ``if now >= budget.ends: budget.turn(now)`` and
    ``budget.calls += 1``, which costs a third of it.
    """

    __slots__ = ("_calls", "_least", "_part", "_retries", "_share", "calls", "ends")

    def __init__(self, rule: BudgetRule) -> None:
        self._share = rule.percent / 100.0
        self._least = rule.least * rule.window
        self._part = rule.window / _PARTS
        # The calls of the newest part, and when it ends; then those of the parts before it, and the retries of all.
        self.calls = 0
        self.ends = float("-inf")
        self._calls = [0] * (_PARTS - 1)
        self._retries = [0] * _PARTS

    def __repr__(self) -> str:
        return f"<RetryBudget {sum(self._retries)} retries of {self.calls + sum(self._calls)} calls>"

    def call(self, now: float) -> None:
        """A call has come, which is not a retry."""
        if now >= self.ends:
            self.turn(now)
        self.calls += 1

    def take(self, now: float) -> bool:
        """Whether there may be a retry; it counts if so."""
        if now >= self.ends:
            self.turn(now)
        retries = sum(self._retries)
        if retries >= self._least and retries + 1 > self._share * (self.calls + sum(self._calls)):
            return False
        self._retries[-1] += 1
        return True

    def turn(self, now: float) -> None:
        """Begin a new part of the window, and forget what is older than all of it."""
        behind = (now - self.ends) / self._part
        passed = _PARTS if behind >= _PARTS else int(behind) + 1
        counted = [*self._calls, self.calls][passed:] + [0] * passed
        self._calls, self.calls = counted[:-1], counted[-1]
        self._retries = self._retries[passed:] + [0] * passed
        self.ends = now + self._part if passed == _PARTS else self.ends + passed * self._part
