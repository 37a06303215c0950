"""Random faults under load, and an account of every call: ``python -m tests.chaos.run --seconds 120`` (``make chaos``).

Four servers fail on purpose (see `tests.chaos.backend`) and are stopped, killed and started again meanwhile; the
configuration is reloaded.  In the end every call must stand once in the access log, with the status that its client saw,
the metrics must have counted the same, and nothing may be left open: connections, calls, files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.clients import Account, http_client, tcp_client
from tests.support import ROOT, Mesh, connect, environment, free_ports, start_mesh, until

HTTP_CLIENTS, TCP_CLIENTS = 24, 4
BREAKER = {"failures": 5, "least": "500ms", "most": "2s"}


def config(directory: Path, edge: int, raw: int, backends: list[int]) -> str:
    """Return a sidecar's configuration with everything on that has to do with failures."""
    retry = {"attempts": 3, "when": ["connect_failed", "reset", "5xx"], "per_try_timeout": "1s", "hedge": "500ms"}
    route = {
        "filters": [{"ratelimit": {"rate": "100000/s"}}, {"admission": {"mode": "shadow"}}, "coalesce"],
        "retry": retry,
        "timeout": "3s",
        "to": "web",
    }
    web = {
        "endpoints": [f"127.0.0.1:{each}" for each in backends],
        "breaker": BREAKER,
        "outlier": {},
        "limits": {"calls": 20, "waiting": 10, "wait": "200ms"},
        "health_check": {"interval": "500ms", "timeout": "300ms", "http": "/"},
        "connect_timeout": "500ms",
    }
    listeners = {
        "edge": {"bind": f"127.0.0.1:{edge}", "routes": [route]},
        "raw": {"protocol": "tcp", "bind": f"127.0.0.1:{raw}", "routes": [{"to": "web"}]},
    }
    log = {"path": str(directory / "access.log"), "format": "json"}
    return json.dumps({"access_log": log, "listeners": listeners, "clusters": {"web": web}})


class Servers:
    """The servers that fail, each a process."""

    def __init__(self, ports: list[int], seed: int) -> None:
        self.ports = ports
        self.dice = random.Random(seed)
        self.processes = [self._start(each) for each in ports]
        self.did: Counter[str] = Counter()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.backend", str(port), str(self.dice.randrange(1 << 30))]
        return subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)

    def ready(self) -> None:
        """Wait until each takes connections."""
        for each in self.ports:
            until(lambda port=each: _open(port), f"a server at {each}")  # type: ignore[misc]  # its default is the port

    async def torment(self, ends: float, mesh: Mesh) -> None:
        """Stop, kill and start them, and reload the sidecar, until the time is over."""
        loop = asyncio.get_running_loop()
        while loop.time() < ends:
            await asyncio.sleep(self.dice.uniform(0.3, 1.5))
            at, what = self.dice.randrange(len(self.ports)), self.dice.choice(("stop", "kill", "reload", "nothing"))
            self.did[what] += 1
            process = self.processes[at]
            if what == "stop":
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(self.dice.uniform(0.2, 2.0))
                process.send_signal(signal.SIGCONT)
            elif what == "kill":
                process.kill()
                process.wait()
                await asyncio.sleep(self.dice.uniform(0.0, 1.0))
                self.processes[at] = self._start(self.ports[at])
            elif what == "reload":
                mesh.signal(signal.SIGHUP)

    def end(self) -> None:
        """Kill them."""
        for each in self.processes:
            each.kill()
            each.wait()


def run(seconds: float, seed: int, directory: Path) -> list[str]:
    """Do all that; return what was found wrong, a line each."""
    edge, raw, *ports = free_ports(6)
    servers = Servers(ports, seed)
    try:
        servers.ready()
        mesh = start_mesh(config(directory, edge, raw, ports), directory)
        try:
            files = _files(mesh)
            account = Account()
            asyncio.run(_load(seconds, seed, edge, raw, account, servers, mesh))
            servers.end()
            wrong = _left_open(mesh, files)
            wrong += _accounts(mesh, directory / "access.log", account)
            sys.stdout.write(_summary(account, servers))
            mesh.signal(signal.SIGTERM)
            status = mesh.wait()
            wrong += [f"the sidecar ended with {status}"] if status else []
            wrong += [f"in its log: {line}" for line in mesh.output().splitlines() if "Traceback" in line]
            return wrong
        finally:
            mesh.stop()
    finally:
        servers.end()


async def _load(seconds: float, seed: int, edge: int, raw: int, account: Account, servers: Servers, mesh: Mesh) -> None:
    ends = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(
        servers.torment(ends, mesh),
        *(http_client(each, edge, seed, ends, account) for each in range(HTTP_CLIENTS)),
        *(tcp_client(each, raw, seed, ends, account) for each in range(TCP_CLIENTS)),
    )


def _open(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def _files(mesh: Mesh) -> int:
    return len(os.listdir(f"/proc/{mesh.pid}/fd"))


def _left_open(mesh: Mesh, files: int) -> list[str]:
    """Wait for the sidecar to come to rest; return what does not."""

    def resting() -> bool:
        listeners: list[dict[str, Any]] = json.loads(mesh.get("/listeners?format=json").text)["listeners"]
        clusters: list[dict[str, Any]] = json.loads(mesh.get("/clusters?format=json").text)["clusters"]
        busy = sum(each["connections"] + each["active_calls"] for each in listeners)
        active = sum(endpoint["active"] for each in clusters for endpoint in each["endpoints"])
        # A health check may be under way.
        return not busy and not active and not clusters[0]["room"]["calls"] and _files(mesh) <= files + 4

    try:
        until(resting, "nothing is left open")
    except AssertionError as error:
        return [f"left open: {error}; {_files(mesh)} files, {files} before", mesh.get("/listeners").text]
    return []


def _accounts(mesh: Mesh, log: Path, account: Account) -> list[str]:
    """Hold what clients saw against the access log, and that against the metrics."""
    total = sum(_counted(mesh).values())

    def written() -> bool:
        return len(log.read_text().splitlines()) >= total

    until(written, f"{total} lines in the access log")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    http = [each for each in entries if each["protocol"] == "http"]
    times = Counter(each["id"] for each in http)
    statuses = {each["id"]: each["status"] for each in http}
    wrong = [f"{call} was not answered within a minute" for call in account.lost]
    for call, seen in account.http.items():
        if times[call] != 1 and not (seen is None and times[call] == 0):
            wrong.append(f"{call} stands {times[call]} times in the access log; its client saw {seen}")
        elif seen and statuses[call] != seen:
            wrong.append(f"{call} has the status {statuses[call]} in the access log; its client saw {seen}")
    wrong += [f"{call} is in the access log, and nobody made it" for call in times if call not in account.http]
    logged = Counter((each["protocol"], _class(each["status"])) for each in entries)
    counted = _counted(mesh)
    for key in logged.keys() | counted.keys():
        if logged[key] != counted[key]:
            wrong.append(f"{key}: {logged[key]} in the access log, {counted[key]} in the metrics")
    made, raw = account.tcp["connected"], logged["tcp", "-"]
    if not made <= raw <= made + account.tcp["not connected"]:
        wrong.append(f"{made} connections of TCP were made, {raw} are in the access log")
    return wrong


def _class(status: int) -> str:
    return f"{status // 100}xx" if status else "-"


def _counted(mesh: Mesh) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for line in mesh.get("/metrics").text.splitlines():
        if line.startswith("twisted_mesh_downstream_calls_total{"):
            labels = dict(each.split("=", 1) for each in line[line.index("{") + 1 : line.rindex("}")].split(","))
            found[labels["protocol"].strip('"'), labels["code"].strip('"')] += int(float(line.rsplit(" ", 1)[1]))
    return found


def _summary(account: Account, servers: Servers) -> str:
    seen = Counter("given up" if each is None else str(each) for each in account.http.values())
    http = ", ".join(f"{count} x {status}" for status, count in seen.most_common())
    return f"HTTP: {len(account.http)} calls: {http}\nTCP: {dict(account.tcp)}\nfaults: {dict(servers.did)}\n"


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
