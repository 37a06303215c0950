"""Outlier detection: endpoints that do worse than the others are left out for a while.

The rules and their defaults are Envoy's (``outlier_detection`` of its API, and "Outlier detection" in its architecture
overview), with these differences: a rule that is on is enforced, an ejection ends when its time is over and not at the
next look, one endpoint may always be ejected if two or more remain, and never the last.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple, Sequence

from twisted_mesh.policy.outcome import Outcome


class OutlierRule(NamedTuple):
    """When an endpoint is ejected, and for how long.  A rule whose number is 0 is off.

    - `errors`: answers of 5xx, and failures, in a row; `gateway_errors`: of 502, 503 and 504, and failures; `failures`:
      no answer at all (no connection, a reset, no HTTP, a timeout).
    - `deviations`: at each look, every `interval` seconds, the share of successes is below the mean of all by so many
      standard deviations; of endpoints with `calls` or more since the last look, if there are `endpoints` of them.
    - `percent`: at each look, so much of its calls failed; of endpoints with `percent_calls` or more.
    - `base` seconds is an endpoint out the first time, twice that the second time and so on, `most` at most; each look
      that finds nothing against it takes one time off.
    - `share`: percent of the endpoints that may be out at once.
    """

    errors: int = 5
    gateway_errors: int = 0
    failures: int = 5
    deviations: float = 1.9
    percent: float = 0.0
    interval: float = 10.0
    endpoints: int = 5
    calls: int = 100
    percent_calls: int = 50
    base: float = 30.0
    most: float = 300.0
    share: float = 10.0


class Tally:
    """What is known of one endpoint.

    `ejected` says why it is out, "" if it is not; `until` when that ends (monotonic seconds); `times` how often it was
    out of late.
    """

    __slots__ = ("bad", "ejected", "errors", "failures", "gateway_errors", "good", "times", "until")

    def __init__(self) -> None:
        self.errors = self.gateway_errors = self.failures = 0
        self.good = self.bad = 0
        self.times = 0
        self.ejected = ""
        self.until = 0.0

    def __repr__(self) -> str:
        return f"<Tally {self.ejected or 'in'} good={self.good} bad={self.bad} times={self.times}>"

    def ended(self, result: Outcome, rule: OutlierRule) -> str:
        """Take in the end of a try; returns why the endpoint should be ejected, "" if it should not."""
        if not result.bad:
            self.good += 1
            if self.errors:
                self.errors = self.gateway_errors = self.failures = 0
            return ""
        self.bad += 1
        self.errors += 1
        self.gateway_errors = 0 if result is Outcome.ERROR else self.gateway_errors + 1
        self.failures = self.failures + 1 if result is Outcome.FAILURE else 0
        if rule.failures and self.failures >= rule.failures:
            return f"{self.failures} failures in a row"
        if rule.gateway_errors and self.gateway_errors >= rule.gateway_errors:
            return f"{self.gateway_errors} gateway errors in a row"
        if rule.errors and self.errors >= rule.errors:
            return f"{self.errors} errors in a row"
        return ""

    def eject(self, reason: str, rule: OutlierRule, now: float) -> None:
        """Leave the endpoint out from now on."""
        self.times += 1
        self.ejected = reason
        self.until = now + min(rule.most, rule.base * self.times)
        self.errors = self.gateway_errors = self.failures = 0

    def learn(self, reason: str, seconds: float, now: float) -> None:
        """Others have ejected it: leave it out for as long, without counting that as a time of our own."""
        self.ejected = reason
        self.until = now + seconds
        self.errors = self.gateway_errors = self.failures = 0

    def admit(self) -> None:
        """Its time is over."""
        self.ejected = ""
        self.until = 0.0
        self.good = self.bad = 0

    def _looked(self) -> None:
        self.good = self.bad = 0


def may_eject(ejected: int, count: int, rule: OutlierRule) -> bool:
    """Whether one more of `count` endpoints may be out, of which so many are already."""
    return count > 1 and ejected + 1 < count and ejected + 1 <= max(1, int(count * rule.share / 100.0))


def look(tallies: Sequence[Tally], rule: OutlierRule) -> list[tuple[Tally, str]]:
    """Judge everybody by what came since the last look; returns who should be ejected and why, the worst first."""
    present = [each for each in tallies if not each.ejected]
    reasons: dict[Tally, str] = {}
    _by_deviation(present, rule, reasons)
    _by_percent(present, rule, reasons)
    worst = sorted(reasons.items(), key=lambda each: _rate(each[0]))
    for each in present:
        if each not in reasons and each.times:
            each.times -= 1
        each._looked()
    return worst


def threshold(rates: Sequence[float], deviations: float) -> float:
    """Return the share of successes that is still good enough: so many standard deviations below the mean."""
    mean = sum(rates) / len(rates)
    return mean - deviations * sqrt(sum((each - mean) ** 2 for each in rates) / len(rates))


def _by_deviation(present: Sequence[Tally], rule: OutlierRule, reasons: dict[Tally, str]) -> None:
    known = [each for each in present if each.good + each.bad >= rule.calls]
    if not rule.deviations or not known or len(known) < rule.endpoints:
        return
    least = threshold([_rate(each) for each in known], rule.deviations)
    for each in known:
        if _rate(each) < least:
            below = f"below {least:.1f} %, the mean less {rule.deviations:g} deviations"
            reasons[each] = f"{_rate(each):.1f} % of its calls went well, {below}"


def _by_percent(present: Sequence[Tally], rule: OutlierRule, reasons: dict[Tally, str]) -> None:
    known = [each for each in present if each.good + each.bad >= rule.percent_calls]
    if not rule.percent or not known or len(known) < rule.endpoints:
        return
    for each in known:
        if 100.0 - _rate(each) >= rule.percent:
            reasons[each] = f"{100.0 - _rate(each):.1f} % of its calls failed"


def _rate(tally: Tally) -> float:
    calls = tally.good + tally.bad
    return 100.0 * tally.good / calls if calls else 100.0
