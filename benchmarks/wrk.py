"""Closed-loop load: wrk, and the CPU that the proxy used meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from proxies import Proxy
from sample import Sample

SCRIPT = Path(__file__).with_name("wrk.lua")


def available() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def load(proxy: Proxy, path: str, connections: int, seconds: float, *, post: int = 0) -> Sample:
    """Load `path` with `connections` keep-alive connections, each sending as soon as it has its answer.

    :param post: send POST requests with a body of that many bytes instead of GET.
    """
    env = {**os.environ}
    if post:
        env |= {"BENCH_METHOD": "POST", "BENCH_BYTES": str(post)}
    url = f"http://127.0.0.1:{proxy.http}{path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), url]
    before = proxy.group.cpu() if proxy.group else 0.0
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=seconds + 60)
    used = proxy.group.cpu() - before if proxy.group else None
    proxy.forget_log()
    line = next((each for each in done.stdout.splitlines() if each.startswith("RESULT")), None)
    if line is None:
        raise RuntimeError(f"wrk: {done.stdout} {done.stderr}")
    requests, micros, size, p50, p99, errors = map(int, line.split()[1:])
    if not requests:
        raise RuntimeError(f"{proxy.name} answered nothing in {seconds:g} s: {done.stdout}")
    return Sample(
        rate=requests / micros * 1e6,
        cost=used / requests * 1e6 if used is not None else None,
        p50=p50 / 1e3,
        p99=p99 / 1e3,
        bytes_rate=size / micros * 1e6,
        errors=errors,
    )
