"""How much of what would fail anyhow is not even sent: client-side throttling.

The rule is that of the SRE book (chapter "Handling Overload") in the form of Envoy's admission control: of the calls
that were sent in the last half minute so many went well; when these are less than `percent` of them, a share of the
calls is refused that grows with the difference.  Refused calls are not counted (the book's are, which needs a
percentage of 50 or so: with 95 the refusals alone would keep the share where it is).  As some calls always pass, an end
of the trouble is seen.
"""

from __future__ import annotations

from typing import NamedTuple

# Parts that a window is counted in: how coarsely it forgets.
_PARTS = 30


class AdmissionRule(NamedTuple):
    """See `Admission.chance`.  `rate` is calls a second without which nothing is refused; `most` a percentage."""

    percent: float = 95.0
    window: float = 30.0
    most: float = 80.0
    aggression: float = 1.0
    rate: float = 0.0


class Admission:
    """Counts calls and successes.  Times are seconds of one monotonic clock."""

    __slots__ = ("_calls", "_ends", "_good", "_part", "_rule", "calls", "good")

    def __init__(self, rule: AdmissionRule) -> None:
        self._rule = rule
        self._part = rule.window / _PARTS
        # The newest part last; when it ends; the sums of all.
        self._calls = [0] * _PARTS
        self._good = [0] * _PARTS
        self._ends = float("-inf")
        self.calls = 0
        self.good = 0

    def __repr__(self) -> str:
        return f"<Admission {self.good} of {self.calls} calls went well>"

    def ended(self, good: bool, now: float, count: int = 1) -> None:
        """A call that was sent has ended well, or has not."""
        if now >= self._ends:
            self._turn(now)
        self._calls[-1] += count
        self.calls += count
        if good:
            self._good[-1] += count
            self.good += count

    def chance(self, now: float) -> float:
        """Return the probability with which the next call is to be refused, 0.0 to `most`.

        It is ``((n - ok / percent) / (n + 1)) ** (1 / aggression)`` for n calls sent within the window of which ok went
        well, and 0 while that is negative.
        """
        if now >= self._ends:
            self._turn(now)
        rule, calls = self._rule, self.calls
        excess = calls - self.good / (rule.percent / 100.0)
        if excess <= 0.0 or calls < rule.rate * rule.window:
            return 0.0
        return min(rule.most / 100.0, float((excess / (calls + 1)) ** (1.0 / rule.aggression)))

    def _turn(self, now: float) -> None:
        """Forget what is older than the window."""
        behind = (now - self._ends) / self._part
        passed = _PARTS if behind >= _PARTS else int(behind) + 1
        self._calls = self._calls[passed:] + [0] * passed
        self._good = self._good[passed:] + [0] * passed
        self._ends = now + self._part if passed == _PARTS else self._ends + passed * self._part
        self.calls, self.good = sum(self._calls), sum(self._good)
