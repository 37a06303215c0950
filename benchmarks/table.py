"""What a run prints: a Markdown table, and what must be known to read it."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Optional

from proc import LOAD_CORE, PROXY_CORE, ROOT
from proxies import Proxy, find
from rows import Row
from sample import Sample

HEAD = ("work", "proxy", "figure", "CPU us per request", "p50 ms", "p99 ms", "to Envoy", "CPU to Envoy", "goal")
# The sidecar with its usual configuration, in a row where it has another.
USUAL = "mesh, default chain"
VERSIONS = {"nginx": "-v", "haproxy": "-v", "envoy": "--version"}
UNITS = {
    "rate": lambda value: f"{value:,.0f}/s",
    "bytes_rate": lambda value: f"{value / 1e9:.2f} GB/s",
    "per_cpu": lambda value: f"{value / 1e9:.2f} GB per CPU s",
    "added": lambda value: f"{value:+.3f} ms",
    "memory": lambda value: f"{value / 1024:.2f} KiB",
    "start": lambda value: f"{value:.2f} s",
}


def describe(proxies: dict[str, Proxy], backend: str, options: argparse.Namespace) -> dict[str, str]:
    """Date, machine, command and versions: a figure without them says nothing."""
    about = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "pinned": "no" if PROXY_CORE is None else f"proxy on core {PROXY_CORE}, backend and load on core {LOAD_CORE}",
        "rounds": f"{options.rounds} of {options.seconds:g} s, interleaved, medians",
        "backend": backend,
    }
    return about | {name: version(name) for name in proxies if name != "direct"}


def version(name: str) -> str:
    """What a peer calls itself."""
    if name == "mesh":
        ours = re.search(r'__version__ = "(.*)"', (ROOT / "twisted_mesh" / "__init__.py").read_text())
        words = [f"{each} {_distribution(each)}" for each in ("Twisted", "uvloop", "httptools")]
        return ", ".join([ours[1] if ours else "unknown", *words])
    done = subprocess.run([str(find(name)), VERSIONS[name]], check=False, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found.group() if found else "unknown"


def print_top(about: dict[str, str]) -> None:
    """What stands over the table."""
    for key, value in about.items():
        print(f"{key}: {value}  ")
    print(f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)


def print_row(row: Row, medians: dict[str, Sample]) -> bool:
    """One line for each proxy; returns whether the sidecar missed its goal."""
    envoy = medians.get("envoy")
    missed = False
    for name, sample in medians.items():
        value: Optional[float] = getattr(sample, row.figure)
        if value is None and sample.bytes_rate is None and sample.p99 is None:
            continue
        base: Optional[float] = getattr(envoy, row.figure) if envoy else None
        verdict = row.reached(value, base) if name == "mesh" and value is not None else None
        missed |= verdict == "MISSED"
        above = _above(row, sample, medians.get(USUAL)) if name == "mesh" else ""
        missed |= above.endswith("MISSED")
        cells = (
            row.title,
            name,
            _figure(row, sample, value),
            _number(sample.cost, 1),
            _number(sample.p50, 3),
            _number(sample.p99, 3),
            _ratio(value, base),
            _ratio(sample.cost, envoy.cost if envoy else None),
            _goal(row, verdict) + above if name == "mesh" else "",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    return missed


def record(results: dict[str, list[Sample]]) -> dict[str, list[dict[str, object]]]:
    """The samples of a row as plain values."""
    return {name: [asdict(sample) for sample in samples] for name, samples in results.items()}


def _figure(row: Row, sample: Sample, value: Optional[float]) -> str:
    parts = [UNITS[row.figure](value)] if value is not None else []
    if row.figure == "per_cpu" and sample.bytes_rate is not None:
        parts.append(f"{sample.bytes_rate * 8 / 1e9:.1f} Gbit/s")
    if sample.errors:
        parts.append(f"{sample.errors} ERRORS")
    if sample.late:
        parts.append(f"{sample.late} sent late")
    return ", ".join(parts)


def _number(value: Optional[float], places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _ratio(value: Optional[float], base: Optional[float]) -> str:
    return "" if value is None or not base else f"{value / base:.2f}"


def _goal(row: Row, verdict: Optional[str]) -> str:
    least, aim = (UNITS[row.figure](mark) if row.absolute else f"{mark:g} x" for mark in (row.least, row.aim))
    return f"{least}, aim {aim}: {verdict or 'no Envoy to compare with'}"


def _above(row: Row, sample: Sample, usual: Optional[Sample]) -> str:
    """How much more CPU than the default chain takes this takes, and whether it may."""
    if row.most_above is None or sample.cost is None or usual is None or usual.cost is None:
        return ""
    more = sample.cost - usual.cost
    verdict = "reached" if more <= row.most_above else "MISSED"
    return f"; {more:+.1f} us of CPU above the default chain, {row.most_above:g} allowed: {verdict}"


def _distribution(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0].strip() if names else platform.machine()
