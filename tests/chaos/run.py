"""Random faults under load, and an account of every call: ``python -m tests.chaos.run --seconds 120`` (``make chaos``).

Servers of HTTP that fail on purpose, Redis servers alone, in shards and in a Redis Cluster, and the Redis of the mesh are
killed, paused and started again, while the configuration changes in the sidecar's file and on the bus.  In the end:

- every HTTP call stands once in the access log, with the status that its client saw;
- every Redis command has got exactly one reply, in its place, and its own;
- the metrics have counted what the clients have counted;
- the sidecar at rest has what it had at rest before: tasks, chains, timers, connections, descriptors.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

from tests.chaos import accounts
from tests.chaos.clients import Account, http_client, tcp_client
from tests.chaos.faults import World
from tests.chaos.link import Tally
from tests.chaos.pipelines import pipelines
from tests.chaos.rest import Rest, tracks
from tests.chaos.sessions import sessions
from tests.support import Mesh, free_ports, start_mesh

HTTP_CLIENTS, TCP_CLIENTS = 20, 4
PIPELINES, SESSIONS = 4, 1
LISTENERS = ("edge", "shop", "raw", "spare", "one", "many", "slots")
# Shorter than this there is no Redis Cluster, which takes its time to come up.
LONG = 30.0


class Run:
    """One run: `wrong` is what was found, a line each."""

    def __init__(self, seconds: float, seed: int, directory: Path) -> None:
        self._seconds = seconds
        self._seed = seed
        self._directory = directory
        self.wrong: list[str] = []
        self._times: list[str] = []
        self._since = time.monotonic()
        self._account = Account()
        self._listeners = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self._world = World(directory, self._listeners, free_ports(4), seconds >= LONG, seed)
        self._tallies = {name: Tally(name) for name in self._world.redis}

    def go(self) -> None:
        """Do it all."""
        try:
            mesh = start_mesh(self._world.config(), self._directory)
            try:
                self._with(mesh)
            finally:
                mesh.stop()
        finally:
            self._world.stop()

    def _with(self, mesh: Mesh) -> None:
        # What is made at the first call, or the first failure, is there before anything is counted.
        asyncio.run(self._load(mesh, self._seconds / 4))
        self._took("warm-up")
        rest = Rest(mesh)
        rest.look(1.0 + self._seconds / 60)
        self._took("rest")
        asyncio.run(self._load(mesh, self._seconds))
        self._took("load")
        self.wrong += rest.wait(25.0)
        self._took("rest")
        self.wrong += self._world.wrong
        self.wrong += accounts.check(mesh, self._directory / "access.log", self._account, self._tallies)
        mesh.signal(signal.SIGTERM)
        status = mesh.wait()
        self._took("end")
        self.wrong += [f"the sidecar ended with {status}"] if status else []
        self.wrong += _tracebacks(mesh.output())

    def _took(self, what: str) -> None:
        now = time.monotonic()
        self._times.append(f"{what} {now - self._since:.0f} s")
        self._since = now

    async def _load(self, mesh: Mesh, seconds: float) -> None:
        """Load with faults, then without them, until nothing is left out any more."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        await asyncio.gather(self._world.torment(ends, mesh), *self._clients(ends, gentle=False))
        await self._world.settle(mesh)
        limit, before = loop.time() + 30.0, -1.0
        while True:
            await asyncio.gather(*self._clients(loop.time() + min(1.0, self._seconds / 8), gentle=True))
            out = await asyncio.to_thread(_out, mesh)
            reloads = await asyncio.to_thread(mesh.metric, "twisted_mesh_config_reloads_total")
            # And until the configuration is what it was, and clients have seen something of that.
            if not out and reloads == before and await asyncio.to_thread(tracks, mesh):
                return
            before = reloads
            if loop.time() > limit:
                self.wrong += [f"still not well: {each}" for each in out or ["a cache without its connection"]]
                return

    def _clients(self, ends: float, gentle: bool) -> list[Any]:
        seed, account, ports = self._seed, self._account, self._listeners
        web = (ports["edge"], ports["edge"], ports["shop"])
        running: list[Callable[[float], Any]] = []
        for name, tally in self._tallies.items():
            running += pipelines(name, ports[name], seed, tally, PIPELINES, gentle)
            running += sessions(name, ports[name], seed, tally, SESSIONS, gentle)
        return [
            *(http_client(each, web[each % 3], seed, ends, account, gentle) for each in range(HTTP_CLIENTS)),
            *(tcp_client(each, ports["raw"], seed, ends, account) for each in range(TCP_CLIENTS)),
            *(each(ends) for each in running),
        ]

    def summary(self) -> str:
        """What was seen, for whoever reads it."""
        account = self._account
        seen = Counter("given up" if each is None else str(each) for each in account.http.values())
        http = ", ".join(f"{count} x {status}" for status, count in seen.most_common())
        lines = [f"HTTP: {len(account.http)} calls: {http}", f"TCP: {dict(account.tcp)}"]
        for name, tally in self._tallies.items():
            sent, unheard = sum(tally.sent.values()), sum(tally.unheard.values())
            lines.append(f"Redis, {name}: {sent} commands, {unheard} unheard; failures: {dict(tally.failures)}")
        lines.append(f"faults: {dict(self._world.did)}")
        lines.append(f"it took: {', '.join(self._times)}")
        return "\n".join(lines) + "\n"


def _tracebacks(log: str) -> list[str]:
    """Return each traceback in a log, with the line before it and all that belongs to it."""
    lines = log.splitlines()
    found = []
    for at, line in enumerate(lines):
        if "Traceback" in line:
            rest = itertools.takewhile(lambda each: each.startswith("\t"), lines[at + 1 :])
            found.append("\n".join(["in its log:", *lines[max(0, at - 1) : at + 1], *rest]))
    return found


def _out(mesh: Mesh) -> list[str]:
    """Return the endpoints that take no calls, and why."""
    import json

    clusters = json.loads(mesh.get("/clusters?format=json").text)["clusters"]
    return [
        f"{cluster['name']} {endpoint['address']}: {endpoint}"
        for cluster in clusters
        for endpoint in cluster["endpoints"]
        if endpoint.get("out")
    ]


def run(seconds: float, seed: int, directory: Path) -> list[str]:
    """Do all that; return what was found wrong, a line each."""
    made = Run(seconds, seed, directory)
    made.go()
    sys.stdout.write(made.summary())
    return made.wrong


def main() -> int:
    """Run it as the command line says; returns 1 if something was found wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long; 180 if not given")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20), help="of the dice")
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    with tempfile.TemporaryDirectory() as directory:
        wrong = run(arguments.seconds, arguments.seed, Path(directory))
    sys.stdout.write("".join(f"WRONG: {each}\n" for each in wrong[:50]) or "every call is accounted for\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
