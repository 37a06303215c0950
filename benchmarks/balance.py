"""What the balances make of slow and failing endpoints: a simulation.

    python benchmarks/balance.py [--seconds 20] [--seed 1]

The policies are the sidecar's own, the time is virtual, so that the same seed gives the same figures on any machine;
only the last columns of the first table are measured.  Ten endpoints serve four calls at once each, in 10 ms on average
(exponential), and get half of what they can take.  Prints Markdown; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Callable, Iterator, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.simulation import print_report  # noqa: E402
from twisted_mesh.policy.balance import BALANCES  # noqa: E402
from twisted_mesh.policy.ewma import REFUSED, PeakEwma, peak_ewma  # noqa: E402
from twisted_mesh.policy.ring import RING_KEPT, RING_LEAST, HashRing, Maglev, even_size, key_hash  # noqa: E402

NAMES = ("round_robin", "random", "least_request", "peak_ewma", "ring_hash", "maglev")
ENDPOINTS = 10
WORKERS = 4
MEAN = 0.010
RATE = 0.5 * ENDPOINTS * WORKERS / MEAN
KEYS = 10_000
COUNTS = (10, 100, 1000)

Pick = Callable[[], "Server"]


class Server:
    """An endpoint: calls that find every worker busy wait."""

    def __init__(self, number: int, mean: float, failing: bool = False) -> None:
        self.name = f"10.0.{number // 250}.{number % 250}:8080"
        self.weight = 1
        self.active = 0
        self.mean = mean
        self.failing = failing
        self.calls = 0
        self.free = [0.0] * WORKERS
        self.latency = PeakEwma(0.0)

    def serve(self, now: float, dice: Random) -> float:
        """Return when a call that comes now ends."""
        if self.failing:
            return now + 0.0002
        begins = max(now, heapq.heappop(self.free))
        ends = begins + dice.expovariate(1.0 / self.mean)
        heapq.heappush(self.free, ends)
        return ends


class Outcome(NamedTuple):
    """Of a run: latencies of the calls that went well in order, the share that failed, calls of each endpoint."""

    latencies: list[float]
    failed: float
    calls: list[int]

    def percentile(self, share: float) -> float:
        """Return a latency in milliseconds."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    @property
    def spread(self) -> float:
        """The calls of the endpoint that got most, in means."""
        return max(self.calls) * len(self.calls) / sum(self.calls)


def picker(name: str, servers: Sequence[Server], dice: Random, now: Callable[[], float]) -> Pick:
    """Return what picks an endpoint for a call; the keys of calls are drawn evenly from `KEYS`."""
    if name == "peak_ewma":
        return peak_ewma(servers, [each.latency for each in servers], dice.random, now)
    if name in BALANCES:
        balance: Any = BALANCES[name]
        return balance(servers, dice.random)  # type: ignore[no-any-return]
    chosen = table(name, servers)
    hashes = [key_hash(f"user-{each}") for each in range(KEYS)]
    return lambda: chosen.pick(hashes[int(dice.random() * KEYS)])


def table(name: str, servers: Sequence[Server]) -> Any:
    """Return a table of a balance that hashes."""
    names, weights = [each.name for each in servers], [each.weight for each in servers]
    if name == "maglev":
        return Maglev(servers, names, weights)
    if name != "ring_hash":
        return HashRing(servers, names, weights)
    most = max(RING_KEPT, len(servers))
    return HashRing(servers, names, weights, least=even_size(weights, RING_LEAST, most), most=most)


def run(name: str, servers: Sequence[Server], seconds: float, seed: int) -> Outcome:
    """Send calls at random times for so long, and see how they end; the first fifth does not count."""
    dice = Random(seed)
    now = 0.0
    pick = picker(name, servers, dice, lambda: now)
    ends: list[tuple[float, int, Server, float]] = []
    latencies: list[float] = []
    failed = sent = 0
    while now < seconds:
        now += dice.expovariate(RATE)
        while ends and ends[0][0] <= now:
            at, _, server, began = heapq.heappop(ends)
            server.active -= 1
            took = at - began
            server.latency.observe(max(took, REFUSED) if server.failing else took, at)
        server = pick()
        server.active += 1
        end = server.serve(now, dice)
        sent += 1
        heapq.heappush(ends, (end, sent, server, now))
        if now >= seconds / 5:
            server.calls += 1
            failed += server.failing
            if not server.failing:
                latencies.append(end - now)
    counted = [each.calls for each in servers]
    return Outcome(sorted(latencies), failed / sum(counted), counted)


def servers_of(slow: float = 1.0, failing: bool = False) -> list[Server]:
    """Return ten endpoints, of which the fourth is so many times slower, and the seventh fails."""
    return [Server(each, MEAN * (slow if each == 3 else 1.0), failing and each == 6) for each in range(ENDPOINTS)]


def moved(name: str, count: int) -> float:
    """Return the share of the keys that move when one of `count` endpoints leaves, in times of those that have to."""
    servers = [Server(each, MEAN) for each in range(count)]
    hashes = [key_hash(f"user-{each}") for each in range(KEYS * 20)]
    before, after = table(name, servers), table(name, servers[:-1])
    gone = servers[-1]
    owners = [(before.pick(each), after.pick(each)) for each in hashes]
    return sum(one is not other for one, other in owners) / max(1, sum(one is gone for one, _ in owners))


def keys(name: str, count: int) -> float:
    """Return the keys of the endpoint that has most, of many more keys than endpoints, in means."""
    owners = table(name, [Server(each, MEAN) for each in range(count)])
    counted = Counter(owners.pick(key_hash(f"user-{each}")).name for each in range(KEYS * 20))
    return max(counted.values()) * count / (KEYS * 20)


def cost(name: str, count: int, weighted: bool = False) -> float:
    """Return the microseconds of one pick among so many endpoints, of the same weight or of as many weights."""
    servers = [Server(each, MEAN) for each in range(count)]
    for at, each in enumerate(servers):
        each.weight = 1 + at if weighted else 1
    pick = picker(name, servers, Random(1), time.monotonic)
    rounds, best = 20_000, float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            pick()
        best = min(best, time.perf_counter() - began)
    return best / rounds * 1e6


def report(seconds: float, seed: int) -> Iterator[str]:
    """Yield the lines of the tables."""
    columns = (
        "balance",
        "most calls / mean",
        "p99 of ten equal",
        "p99, one 10 times slower",
        "failed, one failing",
        "p99, one slower and one failing",
        "us a pick of 1,000",
        "with 1,000 weights",
    )
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for name in NAMES:
        equal = run(name, servers_of(), seconds, seed)
        slow = run(name, servers_of(slow=10.0), seconds, seed)
        failing = run(name, servers_of(failing=True), seconds, seed)
        both = run(name, servers_of(slow=10.0, failing=True), seconds, seed)
        yield (
            f"| `{name}` | {equal.spread:.2f} | {equal.percentile(0.99):.0f} ms | {slow.percentile(0.99):,.0f} ms "
            f"| {100 * failing.failed:.1f} % | {both.percentile(0.99):,.0f} ms, {100 * both.failed:.1f} % failed "
            f"| {cost(name, 1000):.2f} | {cost(name, 1000, weighted=True):.2f} |"
        )
    yield ""
    yield "| balance | keys moved when one leaves, of 10 | 100 | 1,000 | most keys / mean, of 10 | 100 | 1,000 |"
    yield f"|{'---|' * 7}"
    for name in ("ring_hash", "ring_hash by Envoy's rule", "maglev"):
        figures = [f"{moved(name, each):.2f}" for each in COUNTS] + [f"{keys(name, each):.2f}" for each in COUNTS]
        yield f"| `{name}` | {' | '.join(figures)} |"


if __name__ == "__main__":
    print_report(__doc__, report, seconds=20.0)
