"""What retries and hedges add to the load of an upstream, and what they spare its callers: a simulation.

    python benchmarks/retries.py [--seconds 120] [--seed 1]

The policies are the sidecar's own, the time is virtual, so that the same seed gives the same figures on any machine.
Calls come at random times.  Prints Markdown; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Iterator, NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.simulation import print_report  # noqa: E402
from twisted_mesh.policy.backoff import full_jitter  # noqa: E402
from twisted_mesh.policy.budget import BudgetRule, RetryBudget  # noqa: E402
from twisted_mesh.policy.quantile import Quantile  # noqa: E402

BUDGET = BudgetRule()
# Seconds over which the worst load is looked for: the window of the budget.
WINDOW = 10


class Load(NamedTuple):
    """What an upstream sees, in times of what is asked for: over the whole run, and in the worst ten seconds of it.

    `failed` is the share of calls that failed.
    """

    whole: float
    worst: float
    failed: float


def storm(rate: float, failing: float, attempts: int, budget: Optional[BudgetRule], seconds: int, seed: int) -> Load:
    """Send calls at this rate to an upstream that fails so often."""
    dice = Random(seed)
    allowed = None if budget is None else RetryBudget(budget)
    asked: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    # When a try begins, a number that keeps them in order, and how many the call has had.
    due: list[tuple[float, int, int]] = []
    arrival, number, failed = dice.expovariate(rate), 0, 0
    while arrival < seconds or due:
        number += 1
        if due and (due[0][0] <= arrival or arrival >= seconds):
            now, _, tries = heapq.heappop(due)
        else:
            now, tries = arrival, 0
            arrival += dice.expovariate(rate)
            asked[int(now)] += 1
            if allowed is not None:
                allowed.call(now)
        sent[int(now)] += 1
        if dice.random() >= failing:
            continue
        if tries + 1 >= attempts or not (allowed is None or allowed.take(now)):
            failed += 1
            continue
        heapq.heappush(due, (now + full_jitter(tries + 1, 0.025, 0.25, dice.random), number, tries + 1))
    worst = 0.0
    for begin in range(seconds - WINDOW + 1):
        parts = range(begin, begin + WINDOW)
        offered = sum(asked[each] for each in parts)
        worst = max(worst, sum(sent[each] for each in parts) / offered)
    return Load(sum(sent.values()) / sum(asked.values()), worst, failed / sum(asked.values()))


class Tail(NamedTuple):
    """Latencies in milliseconds, and the load in times of what is asked for."""

    p50: float
    p99: float
    p999: float
    load: float


def latency(dice: Random) -> float:
    """Return how long an upstream takes: 10 ms or a little more, but 2 % of the time twenty times as long."""
    mean = 0.2 if dice.random() < 0.02 else 0.010
    return 0.5 * mean + dice.expovariate(2.0 / mean)


def hedged(percentile: Optional[float], budget: Optional[BudgetRule], calls: int, seed: int) -> Tail:
    """Send calls one after the other, with another try beside those that take longer than this percentile."""
    dice = Random(seed)
    quantile = None if percentile is None else Quantile(percentile / 100)
    allowed = None if budget is None else RetryBudget(budget)
    took: list[float] = []
    sent = 0
    for each in range(calls):
        now = each * 0.001
        if allowed is not None:
            allowed.call(now)
        first = latency(dice)
        sent += 1
        delay = math.inf if quantile is None else quantile.estimate(now)
        seconds = first
        if first > delay and (allowed is None or allowed.take(now)):
            sent += 1
            seconds = min(first, delay + latency(dice))
        if quantile is not None:
            # The first try is stopped when the other is faster; it has taken that long, or longer.
            quantile.observe(min(first, seconds), now)
        took.append(seconds)
    took.sort()
    p50, p99, p999 = (1000 * took[int(share * calls)] for share in (0.5, 0.99, 0.999))
    return Tail(p50, p99, p999, sent / calls)


def report(seconds: int, seed: int) -> Iterator[str]:
    """Yield the lines of the tables."""
    columns = ("calls/s", "failing", "attempts", "no budget", "budget, whole run", "budget, worst 10 s")
    yield f"| {' | '.join(columns)} | calls failed: none, budget |"
    yield "|---|---|---|---|---|---|---|"
    for rate, failing, attempts in (
        *((100.0, share, 3) for share in (0.1, 0.5, 1.0)),
        *((1000.0, share, 3) for share in (0.1, 0.5, 1.0)),
        (1000.0, 0.5, 10),
    ):
        free = storm(rate, failing, attempts, None, seconds, seed)
        kept = storm(rate, failing, attempts, BUDGET, seconds, seed)
        yield (
            f"| {rate:,.0f} | {100 * failing:.0f} % | {attempts} | {free.whole:.2f} | {kept.whole:.2f} "
            f"| {kept.worst:.2f} | {100 * free.failed:.1f} %, {100 * kept.failed:.1f} % |"
        )
    yield ""
    yield "| hedge | p50 | p99 | p99.9 | load |"
    yield "|---|---|---|---|---|"
    for percentile in (None, 99.0, 95.0, 90.0):
        name = "none" if percentile is None else f"`percentile: {percentile:.0f}`"
        tail = hedged(percentile, BUDGET, seconds * 500, seed)
        yield f"| {name} | {tail.p50:.1f} ms | {tail.p99:.0f} ms | {tail.p999:.0f} ms | {tail.load:.3f} |"


if __name__ == "__main__":
    print_report(__doc__, report, seconds=120)
