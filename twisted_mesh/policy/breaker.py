"""The circuit breaker of one endpoint: when calls to it are not worth sending, and when one may find out.

Closed: calls go there.  Open: none do, for a time that doubles with each failed probe.  Half-open: one real call may go
there as a probe; if it goes well the breaker closes, if not it opens for longer.  It is Linkerd's failure accrual
(reference/circuit-breaking of its documentation) with a share of failures over a window beside the run of them.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from twisted_mesh.policy.balance import Dice

# Parts that a window is counted in: how coarsely it forgets.
_PARTS = 10


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


# Read for every call, and quicker so than as an attribute of the class.
_CLOSED = State.CLOSED


class BreakerRule(NamedTuple):
    """When a breaker opens, and for how long.

    - `failures` in a row open it; 0: however many there are.
    - `percent` of failures among the calls of the last `window` seconds opens it, if those are `calls` at least; 0: any
      share.
    - `least` seconds is it open first, twice as long after each probe that failed, `most` at most; up to half as much
      again is added by the dice, so that many sidecars do not probe together.
    """

    failures: int = 7
    percent: float = 50.0
    calls: int = 20
    window: float = 10.0
    least: float = 1.0
    most: float = 60.0


class Breaker:
    """Times are seconds of one monotonic clock.

    `state`, `reason` (why it is not closed, for people), `until` (when it becomes half-open) and `learnt` (whether that
    is for what others have seen) are to be read.
    """

    __slots__ = (
        "_bad",
        "_dice",
        "_ends",
        "_good",
        "_part",
        "_run",
        "_trips",
        "learnt",
        "reason",
        "rule",
        "state",
        "until",
    )

    def __init__(self, rule: BreakerRule, dice: Dice) -> None:
        self.rule = rule
        self._dice = dice
        self._trips = 0
        self.state = State.CLOSED
        self._good: list[int] = []
        self._bad: list[int] = []
        self._ends = 0.0
        self._close()

    def __repr__(self) -> str:
        return f"<Breaker {self.state.value}{': ' + self.reason if self.reason else ''}>"

    def ended(self, bad: bool, now: float) -> bool:
        """A call has ended that was sent while the breaker was closed; returns whether the breaker opened.

        Calls that end when it is not closed any more are not looked at: they tell of the time before.
        """
        if self.state is not _CLOSED:
            return False
        if now >= self._ends:
            self._turn(now)
        if not bad:
            self._good[0] += 1
            self._run = 0
            return False
        self._bad[0] += 1
        self._run += 1
        reason = self._judge()
        if reason:
            self._open(reason, now)
        return bool(reason)

    def offer(self) -> None:
        """The time it is open for is over: a call may find out."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN

    def probed(self, bad: bool, now: float) -> None:
        """The call that was the probe has ended."""
        if self.state is State.CLOSED:
            return
        if bad:
            self._open("its probe failed", now)
        else:
            self._trips = 0
            self._close()

    def learn(self, reason: str, seconds: float, now: float) -> bool:
        """Others have seen that no calls should go there for so long; returns whether the breaker opened.

        One that is open already goes by what was seen here.
        """
        if self.state is not State.CLOSED:
            return False
        self.state = State.OPEN
        self.learnt = True
        self.reason = reason
        # All who learn it hear of it at once, and should not all probe at once.
        self.until = now + seconds + min(self.rule.least, seconds) * 0.5 * self._dice()
        return True

    def _close(self) -> None:
        self.state = State.CLOSED
        self.learnt = False
        self.reason = ""
        self.until = 0.0
        self._run = 0
        # The newest part first.
        self._good = [0] * _PARTS
        self._bad = [0] * _PARTS
        self._part = -1
        self._ends = float("-inf")

    def _open(self, reason: str, now: float) -> None:
        rule = self.rule
        wait = min(rule.most, rule.least * 2.0 ** min(self._trips, 64))
        self._trips += 1
        self.state = State.OPEN
        self.learnt = False
        self.reason = reason
        self.until = now + wait * (1.0 + 0.5 * self._dice())

    def _judge(self) -> str:
        """Return why it has to open, "" if it has not to."""
        rule = self.rule
        if rule.failures and self._run >= rule.failures:
            return f"{self._run} failures in a row"
        if rule.percent:
            bad = sum(self._bad)
            calls = bad + sum(self._good)
            if calls >= rule.calls and bad * 100.0 >= rule.percent * calls:
                return f"{bad} of {calls} calls failed within {rule.window:g} s"
        return ""

    def _turn(self, now: float) -> None:
        """Forget what is older than the window."""
        length = self.rule.window / _PARTS
        part = int(now / length)
        passed = part - self._part
        self._ends = (part + 1) * length
        if passed <= 0:
            return
        if self._part < 0 or passed >= _PARTS:
            self._good = [0] * _PARTS
            self._bad = [0] * _PARTS
        else:
            self._good = [0] * passed + self._good[: _PARTS - passed]
            self._bad = [0] * passed + self._bad[: _PARTS - passed]
        self._part = part
