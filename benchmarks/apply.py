"""How long calls wait while a large configuration is applied: the largest gap between two turns of the loop.

usage: apply.py [--via file|bus] [--resources 1000] [--tables 1] [--rounds 5] [--rate 1000]

A sidecar under load gets a configuration in which every route and every cluster has changed, back and forth.  A
filter in it (``turns/``) notes how late a timer of one millisecond is (`gaps`), how late without waiting for a
processor that another process had (`own`), and how much was computed meanwhile (`cpu`): on a machine that does other
things, only
the last two say something of the sidecar.  They are watched from just before the change
until some seconds after it is in force, so that what the sidecar tidies up later is in them.  With ``--via bus`` the
time until it is in force has in it what `meshctl apply` takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from proc import LOAD_CORE, PATH, PROXY_CORE, Group, free_port, stay_on, wait_for_answer

HERE = Path(__file__).resolve().parent
# Seconds that are watched after a change: the sidecar looks for garbage ten seconds after it.
QUIET_END = 14.0
LIMIT = 60.0
SAID = {"gaps": "largest gap", "own": "without waiting for the processor", "cpu": "computed in one"}


def configuration(resources: int, tables: int, round_: int, ports: dict[str, int]) -> dict[str, Any]:
    """Return a configuration in which everything but the listeners depends on the round."""
    seconds = f"{10 + round_ % 50}s"
    clusters: dict[str, Any] = {
        f"c{at}": {
            "endpoints": [f"127.0.0.1:{20000 + at % 9000}", f"127.0.0.2:{20000 + at % 9000}"],
            "connect_timeout": seconds,
        }
        for at in range(resources)
    }
    clusters["backend"] = {"endpoints": [f"127.0.0.1:{ports['backend']}"]}
    share = resources // tables
    first = [
        {"match": {"path": {"exact": "/"}}, "to": "backend"},
        {"match": {"path": {"exact": "/round"}}, "reply": {"status": 200, "body": str(round_)}},
    ]
    routes = {
        f"t{table}": [
            *first,
            *(
                {
                    "name": f"r{table}-{at}",
                    "match": {"path": {"prefix": f"/p{at}/"}, "method": ["GET", "HEAD"]},
                    "to": f"c{table * share + at}",
                    "timeout": seconds,
                    "retry": {"attempts": 3, "when": ["connect_failed", "5xx"]},
                }
                for at in range(share)
            ),
        ]
        for table in range(tables)
    }
    listeners: dict[str, Any] = {
        f"l{table}": {"bind": f"127.0.0.1:{ports['edge'] if table == 0 else 0}", "routes": f"t{table}"}
        for table in range(tables)
    }
    listeners["turns"] = {
        "bind": f"127.0.0.1:{ports['turns']}",
        "filters": [{"turns": {}}],
        "routes": [{"reply": {"status": 200}}],
    }
    return {
        "admin": f"127.0.0.1:{ports['admin']}",
        "access_log": "off",
        "listeners": listeners,
        "routes": routes,
        "clusters": clusters,
    }


def on_the_bus(whole: dict[str, Any], directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a configuration into what stays in the file, and what is on the bus of an embedded server."""
    bus = {section: whole.pop(section) for section in ("routes", "clusters", "listeners")}
    # What watches the loop is there from the start.
    whole["listeners"] = {"turns": bus["listeners"].pop("turns")}
    return {**whole, "redis": "embedded", "state": str(directory / "state"), "node": {"id": "bench"}}, bus


def ask(port: int, path: str = "/") -> bytes:
    """Return the body of an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while True:
            more = sock.recv(65536)
            if not more:
                return data.partition(b"\r\n\r\n")[2]
            data += more


def gaps(port: int) -> dict[str, list[float]]:
    """Return the largest gaps since the last time, without waiting, and what was computed, in milliseconds."""
    found: dict[str, list[float]] = json.loads(ask(port))
    return found


def children(parent: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
    return found


class Bench:
    """A sidecar, its backend and its load."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.ports = {name: free_port() for name in ("edge", "turns", "admin", "backend")}
        self.config = directory / "mesh.yaml"
        self.write(0)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "turns"), os.environ.get("PYTHONPATH", "")])
        import proc

        proc.PATH = os.pathsep.join([str(HERE / "turns"), PATH])
        mesh = [sys.executable, "-m", "twisted_mesh", "--config", str(self.config)]
        self.backend = Group(
            [sys.executable, str(HERE / "backend.py"), str(self.ports["backend"])], LOAD_CORE, directory / "backend.out"
        )
        self.mesh = Group(mesh, PROXY_CORE, directory / "mesh.out")

    def write(self, round_: int) -> None:
        """Write the configuration of a round, as editors do or as operators do."""
        whole = configuration(self.options.resources, self.options.tables, round_, self.ports)
        if self.options.via == "bus":
            whole, bus = on_the_bus(whole, self.directory)
            (self.directory / "bus.yaml").write_text(json.dumps(bus, indent=1))
            if self.config.exists():
                return
        other = self.config.with_suffix(".new")
        other.write_text(json.dumps(whole, indent=1))
        os.replace(other, self.config)

    def send(self) -> None:
        """Have what was written applied."""
        if self.options.via == "file":
            os.kill(self.mesh.pids()[0], signal.SIGHUP)
            return
        redis = f"unix://{self.directory / 'state' / 'redis' / 'redis.sock'}"
        meshctl = [sys.executable, "-m", "twisted_mesh.cli.main", "--redis", redis, "apply"]
        done = subprocess.run(
            [*meshctl, "-f", str(self.directory / "bus.yaml"), "--reason", "benchmark"],
            env={**os.environ, "PYTHONPATH": PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"meshctl apply: {done.stderr[-2000:]}")

    def part(self) -> None:
        """Have the embedded Redis run beside the load: it is no part of what is measured."""
        if LOAD_CORE is None:
            return
        # It has a group of its own, and its threads each have their own affinity.
        found = [pid for pid in children(self.mesh.pids()[0]) if b"server" in Path(f"/proc/{pid}/comm").read_bytes()]
        if not found:
            raise RuntimeError(f"the embedded Redis is not among the children of the sidecar: {self.mesh.said()}")
        for thread in os.listdir(f"/proc/{found[0]}/task"):
            os.sched_setaffinity(int(thread), {LOAD_CORE})

    def change(self, round_: int) -> float:
        """Change everything; returns the seconds until it is in force."""
        self.write(round_)
        begun = time.monotonic()
        self.send()
        while time.monotonic() - begun < LIMIT:
            if ask(self.ports["edge"], "/round") == str(round_).encode():
                return time.monotonic() - begun
            time.sleep(0.01)
        raise RuntimeError(f"not in force after {LIMIT:g} s: {self.mesh.said()}")

    def run(self) -> None:
        """Measure, and print."""
        wait_for_answer(self.ports["backend"], self.backend)
        if self.options.via == "bus":
            wait_for_answer(self.ports["turns"], self.mesh)
            self.part()
            self.send()
        wait_for_answer(self.ports["edge"], self.mesh)
        seconds = 2 * self.options.before + self.options.rounds * (self.options.after + 15)
        command = [
            sys.executable,
            str(HERE / "steady.py"),
            str(self.ports["edge"]),
            str(self.options.rate),
            str(seconds),
        ]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(self.options.before)
            gaps(self.ports["turns"])
            time.sleep(self.options.before)
            print(f"before: {gaps(self.ports['turns'])} ms", flush=True)
            worst: dict[str, list[float]] = {}
            for round_ in range(1, self.options.rounds + 1):
                gaps(self.ports["turns"])
                took = self.change(round_)
                during = gaps(self.ports["turns"])
                time.sleep(self.options.after)
                after = gaps(self.ports["turns"])
                for kind in during:
                    worst.setdefault(kind, []).append(max(*during[kind], *after[kind]))
                print(f"change {round_}: in force after {took:.3f} s; {during} ms, and later {after} ms", flush=True)
            for kind, said in SAID.items():
                each = sorted(worst[kind])
                middle = each[len(each) // 2]
                print(f"{said}: {each[-1]:.2f} ms at most, {middle:.2f} ms in the middle one of {len(each)} changes")
        finally:
            load.terminate()
            load.wait()


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--resources", type=int, default=1000, help="as many routes, and as many clusters")
    parser.add_argument("--tables", type=int, default=1, help="over how many tables the routes are spread")
    parser.add_argument("--via", choices=("file", "bus"), default="file", help="where the change comes from")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=1000, help="calls a second meanwhile")
    parser.add_argument(
        "--before", type=float, default=3.0, help="seconds that are watched before, and as many for warming up"
    )
    parser.add_argument("--after", type=float, default=QUIET_END, help="seconds that are watched after a change")
    options = parser.parse_args()
    stay_on(LOAD_CORE)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options, Path(directory))
        try:
            bench.backend.start()
            bench.mesh.start()
            bench.run()
        finally:
            bench.mesh.stop()
            bench.backend.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
