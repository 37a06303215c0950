"""The rows of the table: what each does to a proxy, and what the sidecar must reach."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import wrk
from proc import wait_for_answer
from proxies import SIZES, Bench, Proxy
from sample import Sample

HERE = Path(__file__).parent
RATE = 1000  # requests per second of the row about latency
IDLE = 10_000  # connections of the row about memory
SPARE_FILES = 500  # descriptors that a process needs besides the connections it holds

Measure = Callable[[Bench, Proxy, float], Sample]


@dataclass(frozen=True)
class Row:
    """One kind of work.

    `figure` is the field of `Sample` that is compared, `more` whether more of it is better.  `least` and `aim` are
    what the sidecar must and should reach: a ratio to Envoy, or, where `absolute`, the figure itself.
    """

    name: str
    title: str
    figure: str
    measure: Measure
    least: float
    aim: float
    more: bool = True
    absolute: bool = False
    fresh: bool = False
    needs_wrk: bool = False
    variant: str = ""
    most_above: Optional[float] = None

    def reached(self, value: float, envoy: Optional[float]) -> Optional[str]:
        """How the sidecar stands in this row; None where there is no Envoy to compare with."""
        if not self.absolute and not envoy:
            return None
        got = value if self.absolute else value / (envoy or 1.0)
        passed = [got >= mark if self.more else got <= mark for mark in (self.least, self.aim)]
        return "aim reached" if passed[1] else "reached" if passed[0] else "MISSED"


def _wrk(path: str, connections: int, post: int = 0) -> Measure:
    def measure(bench: Bench, proxy: Proxy, seconds: float) -> Sample:
        return wrk.load(proxy, path, connections, seconds, post=post)

    return measure


def _client(script: str, *arguments: object, limit: float) -> list[int]:
    """Run one of our clients (on the load core, where this process is) and return the numbers it printed."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit)
    if not done.stdout.startswith("RESULT"):
        raise RuntimeError(f"{script}: {done.stdout}{done.stderr[-600:]}")
    return [int(each) for each in done.stdout.split()[1:]]


def _bulk(bench: Bench, proxy: Proxy, seconds: float) -> Sample:
    if proxy.tcp is None:
        return Sample()
    before = proxy.group.cpu() if proxy.group else 0.0
    size, micros = _client("bulk.py", "drain", proxy.tcp, seconds, limit=seconds + 30)
    used = proxy.group.cpu() - before if proxy.group else None
    return Sample(bytes_rate=size / micros * 1e6, per_cpu=size / used if used else None)


def _latency(bench: Bench, proxy: Proxy, seconds: float) -> Sample:
    """Latency at a constant rate; `added` is the 99th percentile above that of the backend, asked right before."""
    seconds = max(seconds, 2.0)
    alone = _client("steady.py", bench.backend, RATE, seconds, limit=seconds + 30)
    before = proxy.group.cpu() if proxy.group else 0.0
    p50, p99, errors, late = _client("steady.py", proxy.http, RATE, seconds, limit=seconds + 30)
    used = proxy.group.cpu() - before if proxy.group else None
    proxy.forget_log()
    cost = used / (RATE * seconds) * 1e6 if used is not None else None
    added = (p99 - alone[1]) / 1e6 if proxy.group else None
    return Sample(rate=RATE, cost=cost, p50=p50 / 1e6, p99=p99 / 1e6, added=added, errors=errors, late=late)


def idle_connections() -> int:
    """How many idle connections this user may open here: 10,000, or what the limit on open files leaves."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(IDLE, allowed - SPARE_FILES)


def _memory(bench: Bench, proxy: Proxy, seconds: float) -> Sample:
    """Resident memory that idle connections add, after a first few have made the proxy load what it needs."""
    if proxy.group is None:
        return Sample()
    count = idle_connections()
    _hold(proxy, 100)
    before = proxy.group.resident()
    errors, after = _hold(proxy, count)
    return Sample(memory=(after - before) / count, errors=errors)


def _hold(proxy: Proxy, count: int) -> tuple[int, int]:
    assert proxy.group is not None
    client = subprocess.Popen(
        [sys.executable, str(HERE / "idle.py"), str(proxy.http), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin is not None and client.stdout is not None
    words = client.stdout.readline().split()
    time.sleep(1.0)  # let the proxy write its log and come to rest
    resident = proxy.group.resident()
    client.stdin.close()
    client.wait()
    if len(words) != 3:
        raise RuntimeError(f"idle.py ended with {client.returncode}")
    return int(words[2]), resident


def _start(bench: Bench, proxy: Proxy, seconds: float) -> Sample:
    """From the start of a process to its first answer; the proxy that is handed in only says which."""
    if proxy.group is None:
        return Sample()
    started, group = bench.launch(proxy.name)
    try:
        return Sample(start=wait_for_answer(started.http, group))
    finally:
        bench.stop(started)


ROWS = (
    Row("get32", "small GET, 32 connections", "rate", _wrk("/", 32), 1.15, 1.5, needs_wrk=True),
    Row("get256", "small GET, 256 connections", "rate", _wrk("/", 256), 1.3, 2.0, needs_wrk=True),
    Row(
        "careful",
        "small GET, careful production route",
        "rate",
        _wrk("/", 32),
        1.0,
        1.3,
        needs_wrk=True,
        variant="careful",
        most_above=6.0,
    ),
    Row("post", "POST 10 KiB, answer 10 KiB", "rate", _wrk("/10k", 32, SIZES["10k"]), 1.0, 1.3, needs_wrk=True),
    Row("big", "answers of 1 MiB, 16 connections", "bytes_rate", _wrk("/1m", 16), 0.9, 1.2, needs_wrk=True),
    Row("tcp", "TCP bulk, bytes per CPU second", "per_cpu", _bulk, 1.0, 1.3),
    Row("latency", "p99 added at 1,000 requests/s", "added", _latency, 1.0, 0.5, more=False),
    Row("memory", "memory per idle connection", "memory", _memory, 6 * 1024, 4 * 1024, False, True, fresh=True),
    Row("start", "start to first answer", "start", _start, 1.0, 0.4, False, True),
)
