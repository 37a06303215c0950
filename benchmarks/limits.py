"""How exact a rate limit is that sidecars share by leases, and how often they ask: a simulation.

    python benchmarks/limits.py [--seconds 30] [--seed 1]

The policies are the sidecar's own, the time is virtual: calls come at random (Poisson), a question takes a millisecond.
For each row the calls that were admitted after the burst, against what the rate alone would admit, and the questions
for each call.  Prints Markdown; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from pathlib import Path
from random import Random
from typing import Callable, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from twisted_mesh.policy.gcra import Gcra  # noqa: E402
from twisted_mesh.policy.rate_lease import Ask, RateLease  # noqa: E402

ROUND_TRIP = 0.001


class Outcome(NamedTuple):
    """Of a run: calls that came and were admitted, and questions asked."""

    calls: int
    admitted: int
    asked: int


class Sidecar:
    """One sidecar's part, as the filter does it, with calls that wait."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lease = RateLease(world.gcra, world.now)
        self.waiting = 0

    def call(self) -> None:
        """A call comes."""
        world, lease = self.world, self.lease
        world.calls += 1
        lease.demand += 1
        if lease.tokens:
            lease.tokens -= 1
            world.admitted += 1
            if lease.tokens <= lease.low and not lease.asking:
                self.ask()
        elif lease.asking:
            self.waiting += 1
        elif world.now >= lease.pause_until:
            self.waiting = 1
            self.ask()

    def ask(self) -> None:
        """Ask, and have the answer half a round trip after it was given."""
        asked = self.lease.ask(self.waiting, min(1, self.waiting), 1, self.world.sidecars, self.world.now)
        self.world.asked += 1
        self.world.after(ROUND_TRIP / 2, lambda: self._at_redis(asked))

    def _at_redis(self, asked: Ask) -> None:
        world = self.world
        world.arrival, grant = world.gcra.grant(world.arrival, world.now, *asked)

        def answered() -> None:
            lease = self.lease
            whole = lease.answered(grant, 1, world.dice.random, world.now)
            served = min(self.waiting, lease.tokens)
            lease.tokens -= served
            world.admitted += served
            self.waiting = self.waiting - served if whole else 0
            if self.waiting:
                self.ask()

        world.after(ROUND_TRIP / 2, answered)


class World:
    """Sidecars, Redis, and the order in which things happen."""

    def __init__(self, rate: float, burst: int, sidecars: int, seed: int) -> None:
        self.gcra = Gcra(rate, 1.0, burst)
        self.sidecars = sidecars
        self.dice = Random(seed)
        self.now = 1000.0
        self.arrival = 0.0
        self.calls = self.admitted = self.asked = 0
        self._order = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.all = [Sidecar(self) for _ in range(sidecars)]

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        """Have something happen."""
        self._order += 1
        heapq.heappush(self._events, (self.now + seconds, self._order, then))

    def load(self, sidecar: Sidecar, rate: float) -> None:
        """Have calls come at a sidecar from now on."""

        def come() -> None:
            sidecar.call()
            self.after(self.dice.expovariate(rate), come)

        self.after(self.dice.expovariate(rate), come)

    def run(self, seconds: float) -> Outcome:
        """Let time pass; returns what happened in it."""
        before = Outcome(self.calls, self.admitted, self.asked)
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until
        return Outcome(self.calls - before.calls, self.admitted - before.admitted, self.asked - before.asked)


def run(
    rate: float, burst: int, sidecars: int, load: float, seconds: float, seed: int, uneven: bool = False
) -> Outcome:
    """Return what happens once the burst is used up.

    :param load: calls that come, as a multiple of the rate.
    :param uneven: the first sidecar gets nine tenths of them.
    """
    world = World(rate, burst, sidecars, seed)
    for number, each in enumerate(world.all):
        share = 1 / sidecars if not uneven else 0.9 if not number else 0.1 / (sidecars - 1)
        world.load(each, rate * load * share)
    world.run(5.0 + 2.0 * burst / rate)
    return world.run(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write = sys.stdout.write
    write("| limit | burst | sidecars | calls come | admitted, of the rate | questions for each call |\n")
    write("|---|---|---|---|---|---|\n")
    for rate, burst in ((100, 100), (1000, 1000), (1000, 100), (10_000, 10_000)):
        for sidecars in (1, 4, 16):
            for load, uneven in ((0.5, False), (0.95, False), (2.0, False), (2.0, True)):
                if uneven and sidecars == 1:
                    continue
                done = run(rate, burst, sidecars, load, options.seconds, options.seed, uneven)
                admitted = done.admitted / (rate * options.seconds)
                how = f"{load:g} times the limit{', nine tenths at one' if uneven else ''}"
                write(
                    f"| {rate:,}/s | {burst:,} | {sidecars} | {how} | {100 * admitted:.2f} % | "
                    f"{100 * done.asked / done.calls:.1f} % |\n"
                )


if __name__ == "__main__":
    main()
