"""How many tries may be added to what callers ask for, so that retries do not bring down what is in trouble already.

Finagle's RetryBudget: retries are a share of the calls of late, and a few more so that those of a quiet route are tried
again too.  A share of what is in flight, as Envoy has it, would grow with the trouble: calls that fail slowly are many.
"""

from __future__ import annotations

from typing import NamedTuple

# Parts that a window is counted in: how coarsely it forgets.
_PARTS = 10


class BudgetRule(NamedTuple):
    """Retries may be `percent` of the calls of the last `window` seconds, and `least` of them in any case."""

    percent: float = 20.0
    least: int = 3
    window: float = 10.0


class RetryBudget:
    """Counts calls and retries.  Times are seconds of one monotonic clock."""

    __slots__ = ("_calls", "_ends", "_least", "_part", "_retries", "_share")

    def __init__(self, rule: BudgetRule) -> None:
        self._share = rule.percent / 100.0
        self._least = rule.least
        self._part = rule.window / _PARTS
        # The newest part last; when it ends.
        self._calls = [0] * _PARTS
        self._retries = [0] * _PARTS
        self._ends = float("-inf")

    def __repr__(self) -> str:
        return f"<RetryBudget {sum(self._retries)} retries of {sum(self._calls)} calls>"

    def call(self, now: float) -> None:
        """A call has come, which is not a retry."""
        if now >= self._ends:
            self._turn(now)
        self._calls[-1] += 1

    def take(self, now: float) -> bool:
        """Whether there may be a retry; it counts if so."""
        if now >= self._ends:
            self._turn(now)
        retries = sum(self._retries)
        if retries >= self._least and retries + 1 > self._share * sum(self._calls):
            return False
        self._retries[-1] += 1
        return True

    def _turn(self, now: float) -> None:
        """Forget what is older than the window."""
        behind = (now - self._ends) / self._part
        passed = _PARTS if behind >= _PARTS else int(behind) + 1
        self._calls = self._calls[passed:] + [0] * passed
        self._retries = self._retries[passed:] + [0] * passed
        self._ends = now + self._part if passed == _PARTS else self._ends + passed * self._part
