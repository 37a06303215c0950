"""The service registry at 1,000, 10,000 and 100,000 instances: what starting, one change and the heartbeats cost.

    python benchmarks/registry.py [--sizes 1000,10000,100000]

Starts a real server, fills it with instances of 2,000 services, and follows 20 of these from a process of its own with
the sidecar's own code.  Prints one table; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SERVICES = 2000
NAMED = 20
CHANGES = 500
CRASHES = 20
MESH = "bench"
PREFIX = "mesh:{bench}:"


def instance(service: str, id: str, **fields: Any) -> Any:
    from twisted_mesh.bus.instance import Instance

    made = {"id": id, "service": service, "address": "10.1.2.3", "ports": {"http": 8080}, "zone": "a", "version": "v1"}
    return Instance(**{**made, "labels": {"team": "shop", "tier": "front"}, "owner": f"host-{id}:4711", **fields})


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- the sidecar


class Sidecar:
    """Follows services and notes when it hears of what; speaks JSON lines."""

    def __init__(self, url: str, services: int) -> None:
        from twisted_mesh.server.reactor import install_reactor

        self.reactor: Any = install_reactor()
        self.arrived: dict[str, float] = {}
        self.missing = services
        self.records = 0
        self.url = url
        self.services = services
        self.reactor.callWhenRunning(self.begin)
        self.reactor.callInThread(self.listen)
        self.reactor.run()

    def begin(self) -> None:
        from twisted_mesh.bus.access import Access
        from twisted_mesh.bus.client import Redis, Subscriber
        from twisted_mesh.bus.keys import Keys
        from twisted_mesh.bus.registry import ServiceRegistry
        from twisted_mesh.metrics import Registry
        from twisted_mesh.model.redis import parse

        settings, metrics, dice = parse(self.url), Registry(), random.Random()
        links: list[Any] = [
            cls(settings, reactor=self.reactor, random=dice, metrics=metrics, now=time.monotonic, mesh=MESH)
            for cls in (Redis, Subscriber)
        ]
        registry = ServiceRegistry(Access(*links, Keys(MESH), self.reactor, dice, time.time, metrics))
        self.began = time.monotonic()
        for each in links:
            each.start()
        registry.start()
        waiting = {f"s{number}" for number in range(self.services)}

        def changed(view: Any) -> None:
            now = time.monotonic()
            if view.synced and view.name in waiting:
                waiting.discard(view.name)
                self.records += len(view.records)
                if not waiting:
                    self.say(ready=now - self.began, records=self.records)
            for id in view.touched:
                record = view.records.get(id)
                self.arrived[f"{id}={record.weight if record else 'gone'}"] = now

        for name in sorted(waiting):
            registry.follow(name, changed)
        if not waiting:
            self.reactor.callLater(1.0, self.say, ready=0.0, records=0)

    def listen(self) -> None:
        for line in sys.stdin:
            self.reactor.callFromThread(self.asked, line.strip())
        self.reactor.callFromThread(self.reactor.stop)

    def asked(self, what: str) -> None:
        if what == "cpu":
            self.say(cpu=time.process_time())
        elif what == "arrived":
            self.say(arrived=self.arrived)
            self.arrived = {}

    def say(self, **what: Any) -> None:
        what["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(what), flush=True)


class Child:
    """A sidecar in a process of its own."""

    def __init__(self, url: str, services: int) -> None:
        command = [sys.executable, __file__, "--sidecar", url, str(services)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.read()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, what: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


# --- the server's side


class Bench:
    """One server and a connection to it that pipelines scripts."""

    def __init__(self, server: Any) -> None:
        from twisted_mesh.bus.leases import PUT, RENEW

        self.server = server
        self.redis = server.connect()
        self.put_sha = self.redis("SCRIPT", "LOAD", PUT.text)
        self.renew_sha = self.redis("SCRIPT", "LOAD", RENEW.text)

    def put(self, each: Any) -> tuple[Any, ...]:
        from twisted_mesh.bus.instance import encode

        milliseconds = round(each.lease * 1000)
        arguments = (each.service, each.id, encode(each), milliseconds, each.owner)
        return ("EVALSHA", self.put_sha, 1, PREFIX, "service", *arguments)

    def pipeline(self, commands: Iterator[tuple[Any, ...]], at_once: int = 200) -> int:
        import hiredis

        count = 0
        batch: list[bytes] = []

        def flush() -> None:
            self.redis._client.send(b"".join(batch))
            for _ in batch:
                answer = self.redis.read()
                if isinstance(answer, Exception):
                    raise answer
            batch.clear()

        for command in commands:
            batch.append(hiredis.pack_command(command))
            count += 1
            if len(batch) >= at_once:
                flush()
        flush()
        return count

    def cpu(self) -> float:
        """Seconds of CPU that the server's process has used."""
        lines = dict(line.split(":", 1) for line in self.redis("INFO", "cpu").decode().split("\r\n") if ":" in line)
        return float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"])

    def script_time(self) -> tuple[int, int]:
        """How many EVALSHA there were, and how long they took together; us."""
        for line in self.redis("INFO", "commandstats").decode().split("\r\n"):
            if line.startswith("cmdstat_evalsha:"):
                fields = dict(each.split("=") for each in line.split(":", 1)[1].split(","))
                return int(fields["calls"]), int(fields["usec"])
        return 0, 0

    def memory(self) -> int:
        lines = dict(line.split(":", 1) for line in self.redis("INFO", "memory").decode().split("\r\n") if ":" in line)
        return int(lines["used_memory"])

    # --- what is measured

    def fill(self, size: int) -> None:
        self.redis("FLUSHALL")
        self.pipeline(self.put(instance(f"s{number % SERVICES}", f"i{number}", lease=3600.0)) for number in range(size))

    def changes(self, child: Child) -> dict[str, float]:
        """One change after another, each of an instance of a service that is followed."""
        spent: list[float] = []
        began = child.ask("cpu")["cpu"]
        child.ask("arrived")
        sent: dict[str, float] = {}
        before = self.script_time()
        for number in range(CHANGES):
            if number % 50 == 49:
                after = self.script_time()
                spent.append((after[1] - before[1]) / max(1, after[0] - before[0]))
                before = after
            id = f"i{number % NAMED}"
            changed = instance(f"s{number % NAMED}", id, lease=3600.0, weight=number + 2)
            sent[f"{id}={number + 2}"] = time.monotonic()
            self.redis(*self.put(changed))
            time.sleep(0.002)
        time.sleep(0.2)
        arrived = child.ask("arrived")["arrived"]
        ended = child.ask("cpu")["cpu"]
        (last,) = self.redis("LRANGE", f"{PREFIX}service:s0:changes", -1, -1)
        took = [arrived[key] - at for key, at in sent.items() if key in arrived]
        return {
            # The median of ten: the server's clock runs on while others have its core.
            "redis_us": percentile(spent, 0.5),
            "bytes": len(last),
            "sidecar_us": (ended - began) / CHANGES * 1e6,
            "p50_ms": percentile(took, 0.5) * 1000,
            "p99_ms": percentile(took, 0.99) * 1000,
            "heard": len(took),
        }

    def crashes(self, child: Child) -> list[float]:
        """How long after the end of its lease an instance that nobody renews is gone from the sidecar; seconds."""
        lease = 1.0
        child.ask("arrived")
        ends: dict[str, float] = {}
        for number in range(CRASHES):
            id = f"crash{number}"
            self.redis(*self.put(instance(f"s{number % NAMED}", id, lease=lease, heartbeat=0.3)))
            ends[f"{id}=gone"] = time.monotonic() + lease
            time.sleep(0.05)
        time.sleep(lease + 1.5)
        arrived = child.ask("arrived")["arrived"]
        return [arrived[key] - end if key in arrived else float("inf") for key, end in ends.items()]

    def heartbeats(self, size: int, batch: int) -> dict[str, float]:
        """Renew every lease once, in scripts of so many."""

        def commands() -> Iterator[tuple[Any, ...]]:
            held = sorted((f"s{number % SERVICES}", f"i{number}") for number in range(size))
            for start in range(0, size, batch):
                arguments: list[Any] = []
                groups: dict[str, list[str]] = {}
                for name, id in held[start : start + batch]:
                    groups.setdefault(name, []).append(id)
                for name, ids in groups.items():
                    arguments += [name, 3_600_000, len(ids), *ids]
                yield ("EVALSHA", self.renew_sha, 1, PREFIX, "service", *arguments)

        cpu, began = self.cpu(), time.monotonic()
        scripts = self.pipeline(commands(), at_once=16)
        took, cpu = time.monotonic() - began, self.cpu() - cpu
        return {"per_second": size / took, "cpu_us": cpu / size * 1e6, "scripts": scripts}


def first_calls(bench: Bench, trials: int = 20) -> list[float]:
    """How long after the command to register it the first call is answered by an instance; seconds.

    A whole sidecar is asked again and again on one connection.
    """
    from tests.support import HttpUpstream, environment, free_port, until
    from twisted_mesh.bus.leases import REMOVE

    upstream, port, admin = HttpUpstream("web"), free_port(), free_port()
    config = {
        "mesh": MESH,
        "redis": bench.server.url,
        "listeners": {"edge": {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": [{"to": "web"}]}},
        "clusters": {"web": {"service": "first", "keep_last_good": "0"}},
        "access_log": "off",
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "mesh.yaml")
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "twisted_mesh", "--config", str(path), "--admin", f"127.0.0.1:{admin}"]
        with open(Path(directory, "out"), "wb") as out:
            sidecar = subprocess.Popen(command, cwd=directory, env=environment(), stdout=out, stderr=out)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

        def status() -> int:
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                return answer.status
            except OSError:
                connection.close()
                return 0

        try:
            until(lambda: status() == 503)
            took: list[float] = []
            for number in range(trials):
                one = instance("first", f"web-{number}", address="127.0.0.1", ports={"http": upstream.port})
                began = time.monotonic()
                bench.redis(*bench.put(one))
                while status() != 200:
                    pass
                took.append(time.monotonic() - began)
                bench.redis("EVAL", REMOVE.text, 1, PREFIX, "service", "first", one.id, "", "bench")
                while status() != 503:
                    pass
            return took
        finally:
            connection.close()
            sidecar.terminate()
            sidecar.wait(20)
            upstream.stop()


def main(sizes: Sequence[int]) -> None:
    from tests.servers import Server

    server = Server().start()
    try:
        bench = Bench(server)
        none = Child(server.url, 0)
        print(
            f"{'instances':>9} {'memory':>9} {'start 20':>9} {'more RSS':>9} | {'one change: Redis':>17} {'wire':>6} "
            f"{'sidecar':>8} {'p50':>7} {'p99':>7} | {'crash, after lease':>18}"
        )
        for size in sizes:
            bench.fill(size)
            child = Child(server.url, NAMED)
            more = (child.first["rss"] - none.first["rss"]) / 2**20
            change = bench.changes(child)
            gone = bench.crashes(child)
            print(
                f"{size:>9,} {bench.memory() / 2**20:>5.0f} MiB {child.first['ready']:>7.3f} s {more:>5.1f} MiB | "
                f"{change['redis_us']:>14.1f} us {change['bytes']:>4.0f} B {change['sidecar_us']:>5.0f} us "
                f"{change['p50_ms']:>4.1f} ms {change['p99_ms']:>4.1f} ms | max {max(gone) * 1000:>11.0f} ms",
                flush=True,
            )
            child.stop()
        none.stop()
        size = sizes[-1]
        print(f"\nheartbeats of {size:,} instances, every 5 s: {size / 5:,.0f} a second")
        for batch in (1, 10, 500):
            beat = bench.heartbeats(size, batch)
            share = beat["cpu_us"] * size / 5 / 1e4
            print(
                f"  {batch:>3} in a script: {beat['per_second']:>9,.0f} renewals/s at most, "
                f"{beat['cpu_us']:.2f} us of Redis's CPU each, {share:.0f} % of a core at that rate"
            )
        took = first_calls(bench)
        print(
            f"\nregister to first routed call: p50 {percentile(took, 0.5) * 1000:.1f} ms, "
            f"max {max(took) * 1000:.1f} ms of {len(took)}"
        )
    finally:
        server.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sidecar"]:
        Sidecar(sys.argv[2], int(sys.argv[3]))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--sizes", default="1000,10000,100000")
        main([int(each) for each in parser.parse_args().sizes.split(",")])
