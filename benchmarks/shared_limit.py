"""A rate limit that four real sidecars count together, at a real Redis: how exact it is, and how often they ask.

    python benchmarks/shared_limit.py [--rates 100,1000] [--seconds 10]

Calls come at twice the limit, in turn at each sidecar, and at half of it.  Counted is from when the burst is used up.
The sidecars are not pinned: this measures what is admitted, and the latencies are those of a machine on which sidecars,
Redis and clients share the cores.  Prints Markdown; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import proc

SIDECARS = 4
FILTER = "listeners/edge/ratelimit"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
WARM = 2.0


class Outcome(NamedTuple):
    """Of a phase: calls by status, its seconds, and the latencies in order."""

    statuses: Counter[int]
    seconds: float
    latencies: Sequence[float]

    def percentile(self, share: float) -> float:
        """Return a latency in milliseconds."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


class Clients:
    """They call in turn at each sidecar, on connections that are kept, and when their time comes."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = itertools.cycle(ports)
        self._idle: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {each: [] for each in ports}
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self._calls: set[asyncio.Future[None]] = set()

    async def _call(self) -> None:
        port = next(self._ports)
        idle = self._idle[port]
        link = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        reader, writer = link
        began = time.perf_counter()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0].split(b":")[1]))
        self.latencies.append(time.perf_counter() - began)
        self.statuses[int(head[9:12])] += 1
        idle.append(link)

    async def call_for(self, seconds: float, rate: float) -> Outcome:
        """Call at a rate for some time; what is answered in it counts, and nobody waits for the rest."""
        self.statuses.clear()
        self.latencies.clear()
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            for _ in range(int(now * rate) - sent):
                self._calls.add(call := asyncio.ensure_future(self._call()))
                call.add_done_callback(self._calls.discard)
                sent += 1
            await asyncio.sleep(0.001)
        return Outcome(self.statuses.copy(), now, sorted(self.latencies))

    async def settle(self) -> None:
        """Wait for what is not answered yet."""
        await asyncio.gather(*self._calls)


class Bench:
    """Four sidecars that share an embedded server."""

    def __init__(self, rate: int, directory: Path) -> None:
        self.rate = rate
        self.groups: list[proc.Group] = []
        self.ports = [proc.free_port() for _ in range(SIDECARS)]
        self.admins = [proc.free_port() for _ in range(SIDECARS)]
        for number in range(SIDECARS):
            path = directory / f"{number}.yaml"
            path.write_text(json.dumps(self._config(number, directory)))
            command = [sys.executable, "-m", "twisted_mesh", "--config", str(path)]
            group = proc.Group(command, None, directory / f"{number}.log")
            group.start()
            self.groups.append(group)
            proc.wait_for_answer(self.ports[number], group)

    def stop(self) -> None:
        """End them, the one that has the server last."""
        for each in reversed(self.groups):
            each.stop()

    def _config(self, number: int, directory: Path) -> dict[str, Any]:
        limit = {"rate": f"{self.rate}/s", "shared": "bench"}
        return {
            "admin": f"127.0.0.1:{self.admins[number]}",
            "access_log": "off",
            "node": {"id": f"n{number}"},
            "redis": "embedded",
            "state": str(directory / "state"),
            "listeners": {
                "edge": {
                    "bind": f"127.0.0.1:{self.ports[number]}",
                    "filters": [{"ratelimit": limit}],
                    "routes": [{"reply": {"status": 200}}],
                }
            },
        }

    def count(self, family: str) -> float:
        """Return the sum of a family's series for the limit, over all sidecars."""
        total = 0.0
        for admin in self.admins:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
                for line in answer.read().decode().splitlines():
                    if line.startswith(f"twisted_mesh_filter_ratelimit_{family}{{") and FILTER in line:
                        total += float(line.rpartition(" ")[2])
        return total

    def phase(self, load: float, seconds: float) -> str:
        """Return the row for a load, as a multiple of the limit."""
        asked, alone, calls = (self.count(each) for each in ("asked_total", "alone_total", "calls_total"))

        async def run() -> Outcome:
            clients = Clients(self.ports)
            while load > 1 and not clients.statuses[429]:
                await clients.call_for(0.1, 5 * self.rate)
            await clients.call_for(WARM, load * self.rate)
            done = await clients.call_for(seconds, load * self.rate)
            await clients.settle()
            return done

        done = asyncio.run(run())
        asked, alone, calls = (
            self.count(each) - before
            for each, before in (("asked_total", asked), ("alone_total", alone), ("calls_total", calls))
        )
        admitted = 100 * done.statuses[200] / (done.seconds * self.rate)
        without = 100 - 100 * asked / calls
        return (
            f"| {self.rate:,}/s | {load:g} times | {admitted:.2f} % | {without:.1f} % | {alone:.0f} | "
            f"{done.percentile(0.5):.2f} ms | {done.percentile(0.99):.2f} ms |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="100,1000")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    print("| limit | calls come | admitted, of the rate | calls without a round trip | decided alone | p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    for rate in map(int, options.rates.split(",")):
        with tempfile.TemporaryDirectory(prefix="mesh-bench-") as directory:
            bench = Bench(rate, Path(directory))
            try:
                for load in (2.0, 0.5):
                    print(bench.phase(load, options.seconds), flush=True)
            finally:
                bench.stop()


if __name__ == "__main__":
    main()
