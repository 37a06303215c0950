"""How one endpoint behaves, as calls show it."""

from __future__ import annotations

from typing import Optional, Protocol

from twisted_mesh.call import Call
from twisted_mesh.errors import Kind
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.breaker import Breaker, State
from twisted_mesh.policy.ewma import REFUSED, PeakEwma
from twisted_mesh.policy.outcome import SUCCESS, UNKNOWN, Outcome, outcome
from twisted_mesh.policy.outlier import OutlierRule, Tally

# From here on a status may be no success: 429, and 5xx.
_SPECIAL = 429


class Watcher(Protocol):
    """Who draws the conclusions."""

    @property
    def outlier(self) -> Optional[OutlierRule]: ...
    def switched(self, conduct: Conduct) -> None:
        """Its breaker has opened or closed, or its probe has ended."""

    def eject(self, conduct: Conduct, reason: str) -> None:
        """It should be ejected."""

    def wake(self) -> None:
        """There is something to look at again."""


class Conduct:
    """What tries have shown of one endpoint; forwards tell it how each has ended.

    `latency`, `breaker` and `tally` are there where the cluster asks for them.  `probe` is the call that finds out
    whether a half-open breaker may close.
    """

    __slots__ = ("_env", "address", "breaker", "latency", "probe", "tally", "watcher")

    def __init__(self, address: str, env: Env, watcher: Watcher) -> None:
        self.address = address
        self.watcher = watcher
        self.latency: Optional[PeakEwma] = None
        self.breaker: Optional[Breaker] = None
        self.tally: Optional[Tally] = None
        self.probe: Optional[Call] = None
        self._env = env

    def ended(
        self, call: Call, status: int, kind: Optional[Kind], seconds: float, headers: Optional[Headers] = None
    ) -> None:
        """A try has its reply head, or failed.

        :param kind: what went wrong; None if there was a reply.
        :param seconds: how long that took.
        :param headers: the reply's.
        """
        result = SUCCESS if kind is None and 0 < status < _SPECIAL else outcome(status, kind)
        now = self._env.now()
        if self.latency is not None:
            _score(self.latency, result, seconds, headers, now)
        breaker = self.breaker
        if breaker is not None:
            if call is self.probe:
                self._probed(breaker, result, now)
            elif result is not UNKNOWN and breaker.ended(result.bad, now):
                self.watcher.switched(self)
        tally, rule = self.tally, self.watcher.outlier
        if tally is None or rule is None or tally.ejected or result is UNKNOWN:
            return
        reason = tally.ended(result, rule)
        if reason:
            self.watcher.eject(self, reason)
        elif tally.good + tally.bad == 1:
            self.watcher.wake()

    def _probed(self, breaker: Breaker, result: Outcome, now: float) -> None:
        self.probe = None
        if result is not UNKNOWN:
            breaker.probed(result.bad, now)
        self.watcher.switched(self)

    @property
    def offered(self) -> bool:
        """Whether a call may be sent as a probe."""
        return self.breaker is not None and self.breaker.state is State.HALF_OPEN and self.probe is None

    @property
    def shut(self) -> bool:
        """Whether its breaker lets no call pass but a probe."""
        return self.breaker is not None and self.breaker.state is not State.CLOSED

    @property
    def ejected(self) -> bool:
        """Whether it is left out as an outlier."""
        return self.tally is not None and bool(self.tally.ejected)

    def held(self) -> str:
        """Return why it gets no calls, for people; "" if it gets them."""
        breaker, tally = self.breaker, self.tally
        if breaker is not None and breaker.state is not State.CLOSED:
            if breaker.state is State.OPEN:
                return f"breaker open for {self._left(breaker.until):.1f} s: {breaker.reason}"
            return f"breaker half-open, {'waits for a call' if self.probe is None else 'is tried'}: {breaker.reason}"
        if tally is not None and tally.ejected:
            return f"ejected for {self._left(tally.until):.1f} s: {tally.ejected}"
        return ""

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator; `until` is in seconds since the epoch."""
        latency, breaker, tally = self.latency, self.breaker, self.tally
        return {
            "held": self.held(),
            "latency": None if latency is None else round(latency.latency(self._env.now()), 6),
            "breaker": None
            if breaker is None
            else {"state": breaker.state.value, "reason": breaker.reason, "until": self._wall(breaker.until)},
            "outlier": None
            if tally is None
            else {"ejected": tally.ejected, "until": self._wall(tally.until), "times": tally.times},
        }

    def _left(self, until: float) -> float:
        return max(0.0, until - self._env.now())

    def _wall(self, until: float) -> Optional[float]:
        return round(self._env.wall() + until - self._env.now(), 3) if until else None


def _score(latency: PeakEwma, result: Outcome, seconds: float, headers: Optional[Headers], now: float) -> None:
    """Take in a latency; what failed fast must not look like the best there is."""
    if result is SUCCESS:
        latency.observe(seconds, now)
    elif result is UNKNOWN:
        # It would have taken longer, nobody knows how much.
        if seconds > latency.latency(now):
            latency.observe(seconds, now)
    elif result is Outcome.REFUSED or result is Outcome.GATEWAY:
        latency.refused(max(seconds, _retry_after(headers)), now)
    else:
        latency.observe(max(seconds, REFUSED), now)


def _retry_after(headers: Optional[Headers]) -> float:
    """Return the seconds of a Retry-After, 0 if there is none or it is a date."""
    text = None if headers is None else headers.get("retry-after")
    # Ten digits are more than any limit already.
    return float(text[:10]) if text and text.isascii() and text.isdigit() else 0.0
