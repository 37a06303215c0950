"""The configuration bus at a real server: how soon a change is with all sidecars, and what it costs.

    python benchmarks/bus.py [--sidecars 50] [--changes 200]

The sidecars are the sidecar's own code for following the store, each with its two connections, all in one process: so
the last of them waits for the work of all others, as it would not on a machine of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers import Live, Server
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.config_follow import ConfigFollower
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reading import PAGE_RECORDS, read
from twisted_mesh.bus.reports import Reporter
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore
from twisted_mesh.bus.stored import EMPTY, Stored
from twisted_mesh.bus.tally import Tally
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import Redis as Settings
from twisted_mesh.model.redis import RedisUrl
from twisted_mesh.policy.selector import Who
from twisted_mesh.server import memory

KEYS = Keys("shop")
WHO = {"author": "bench", "reason": "measuring"}


def cluster(number: int) -> Draft:
    """Return a cluster as a configuration has it, about 300 bytes of JSON."""
    endpoints = [{"address": f"10.0.{number % 256}.{each}:8080", "zone": "a", "weight": 1} for each in range(4)]
    return Draft({"endpoints": endpoints, "balance": "least_request", "health_check": {"http": "/healthz"}})


def share(values: list[float], part: float) -> float:
    """Return the value that `part` of all are below."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


class Bench:
    """One server, and connections to it."""

    def __init__(self, live: Live, server: Server) -> None:
        self.live = live
        self.server = server
        self.redis: Redis = self.link(Redis)
        self.store = ConfigStore(self.redis, KEYS, clock=live.reactor)

    def link(self, cls: Any) -> Any:
        """Return a connection that is up."""

        def begin() -> Any:
            one = cls(
                Settings(url=RedisUrl.parse(self.server.url)),
                reactor=self.live.reactor,
                random=random.Random(),
                metrics=Registry(),
                now=time.monotonic,
                mesh="shop",
            )
            one.start()
            return one

        one = self.live.run(begin)
        self.live.until(lambda: one.connected)
        return one

    def follower(self, node: str, changed: Callable[[Stored], None]) -> ConfigFollower:
        """Return a follower that runs."""
        one = ConfigFollower(
            self.link(Redis),
            self.link(Subscriber),
            KEYS,
            Who(node),
            changed,
            clock=self.live.reactor,
            now=time.monotonic,
            random=random.Random(node),
            families=Families(Registry()),
        )
        self.live.run(one.start)
        self.live.run(one.ready)
        return one

    def fill(self, count: int) -> None:
        """Have so many resources in an empty store."""
        self.server("FLUSHALL")
        for start in range(0, count, 2000):
            drafts = {f"clusters/c{each}": cluster(each) for each in range(start, min(count, start + 2000))}
            self.live.run(lambda drafts=drafts: self.store.apply(drafts, force=True, **WHO), 60)

    def info(self, section: str) -> dict[str, str]:
        """Return what the server says of itself."""
        lines = self.server("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu(self) -> float:
        """Return the seconds of CPU that the server has used."""
        found = self.info("cpu")
        return float(found["used_cpu_sys"]) + float(found["used_cpu_user"])


def spread(bench: Bench, sidecars: int, changes: int) -> Iterable[str]:
    """Measure from the call of `apply` to each sidecar's having the change, and to the last acknowledgement."""
    bench.fill(1000)
    began = 0.0
    seen: list[float] = []
    followers: list[ConfigFollower] = []

    def take(index: int) -> Callable[[Stored], None]:
        def changed(stored: Stored) -> None:
            seen.append(time.monotonic() - began)
            if index < len(followers):
                followers[index].acknowledge(stored)

        return changed

    for each in range(sidecars):
        followers.append(bench.follower(f"sidecar-{each}", take(each)))
    bench.live.until(lambda: len(seen) >= sidecars)
    # As a sidecar does with what it has set up: the collector would stop all fifty for 50 ms now and then.
    memory.settle_first()
    effects: list[float] = []
    lasts: list[float] = []
    acks: list[float] = []

    async def change(number: int) -> None:
        nonlocal began
        began = time.monotonic()
        written = await bench.store.apply({"clusters/c7": cluster(1000 + number)}, **WHO)
        await bench.store.wait(written.version, 5.0)
        acks.append(time.monotonic() - began)

    cpu = bench.cpu()
    for number in range(changes):
        seen.clear()
        bench.live.run(change(number))
        bench.live.until(lambda: len(seen) == sidecars)
        effects += seen
        lasts.append(max(seen))
    cpu = (bench.cpu() - cpu) / changes
    yield f"change to effect, {sidecars} sidecars, one of 1,000 resources, {changes} changes:"
    yield f"  each sidecar: p50 {share(effects, 0.5) * 1e3:.1f} ms, p99 {share(effects, 0.99) * 1e3:.1f} ms"
    yield f"  the last of all: p50 {share(lasts, 0.5) * 1e3:.1f} ms, p99 {share(lasts, 0.99) * 1e3:.1f} ms"
    yield f"  acknowledged by all (looked for every 50 ms): p99 {share(acks, 0.99) * 1e3:.0f} ms"
    yield f"  CPU of the server for one change, reads, reports and looking included: {cpu * 1e3:.1f} ms"
    for each in followers:
        bench.live.run(each.stop)


def one_change(bench: Bench, counts: Iterable[int], times: int = 50) -> Iterable[str]:
    """Measure reading one change out of so many resources: at the server, and until the reader has it."""
    yield "reading one change, by the number of resources in the store:"
    for count in counts:
        bench.fill(count)
        start = time.monotonic()
        known: Any = bench.live.run(read(bench.redis, KEYS, EMPTY), 60)
        everything = time.monotonic() - start
        took = usec = 0.0
        for number in range(times):
            bench.live.run(lambda n=number: bench.store.apply({"clusters/c7": cluster(7000 + n)}, **WHO))
            before = _usec(bench.info("commandstats"))
            start = time.monotonic()
            known = bench.live.run(read(bench.redis, KEYS, known))
            took += time.monotonic() - start
            usec += _usec(bench.info("commandstats")) - before
        yield (
            f"  {count:>6,}: {usec / times:.0f} us at the server, {took / times * 1e3:.2f} ms in all; "
            f"everything at once {everything * 1e3:.0f} ms in {-(-count // PAGE_RECORDS)} pages"
        )


def _usec(stats: dict[str, str]) -> float:
    line = stats.get("cmdstat_evalsha", "usec=0")
    return float(dict(each.split("=") for each in line.split(","))["usec"])


def reports(bench: Bench, sidecars: int) -> Iterable[str]:
    """Measure what a report costs the server, with so many sidecars known."""
    bench.fill(100)
    tally = Tally(Families(Registry()))
    all_of_them = [
        Reporter(bench.redis, KEYS, Who(f"sidecar-{each}", "web", "a", {"version": "v1"}), tally)
        for each in range(sidecars)
    ]

    async def send() -> None:
        for each in all_of_them:
            await each.send()

    bench.live.run(send(), 120)
    before = _usec(bench.info("commandstats"))
    bench.live.run(send(), 120)
    each = (_usec(bench.info("commandstats")) - before) / sidecars
    start = time.monotonic()
    status = bench.live.run(bench.store.status, 60)
    took = time.monotonic() - start
    yield f"a report with {len(status.sidecars):,} sidecars: {each:.0f} us at the server, so at one in 5 s:"
    yield f"  1,000 sidecars take {each * 200 / 1e4:.1f} % of a core, 10,000 take {each * 2000 / 1e4:.0f} %"
    yield f"  the status of all of them: {took * 1e3:.0f} ms"


def main() -> None:
    """Run all of it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sidecars", type=int, default=50)
    parser.add_argument("--changes", type=int, default=200)
    args = parser.parse_args()
    server, live = Server().start(), Live()
    try:
        bench = Bench(live, server)
        for part in (
            spread(bench, args.sidecars, args.changes),
            one_change(bench, (100, 1000, 10_000)),
            reports(bench, 10_000),
        ):
            for line in part:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    finally:
        live.stop()
        server.stop()


if __name__ == "__main__":
    main()
