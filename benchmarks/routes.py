"""Routing tables of 10 to 10,000 routes: what finding the route of a call costs.

    python benchmarks/routes.py [--sizes 10,100,1000,10000] [--seconds 0.3]

Each table is of one kind: a host, an exact path, a prefix or a template for each route, or all of these mixed over some
hosts; the last route takes everything.  The calls are for routes all over the table, and one in ten for none but the
last.  ``each`` is looking at one route after the other.  Prints one table; docs/performance.md holds what it printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CALLS = 1000


def by_host(at: int) -> dict[str, Any]:
    return {"hosts": [f"shop{at}.example"]}


def by_suffix(at: int) -> dict[str, Any]:
    return {"hosts": [f"*.shop{at}.example"]}


def by_path(at: int) -> dict[str, Any]:
    return {"exact": f"/service{at}/orders/list"}


def by_prefix(at: int) -> dict[str, Any]:
    return {"prefix": f"/service{at}/orders"}


def by_template(at: int) -> dict[str, Any]:
    return {"template": f"/service{at}/users/{{id}}/orders"}


def mixed(at: int) -> dict[str, Any]:
    path = (by_path, by_prefix, by_template)[at % 3](at)
    return {"hosts": [f"shop{at % 50}.example", f"*.shop{at % 50}.example"], "methods": ["GET", "HEAD"], **path}


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "hosts": by_host,
    "*.hosts": by_suffix,
    "exact paths": by_path,
    "prefixes": by_prefix,
    "templates": by_template,
    "mixed, 50 hosts": mixed,
}


def a_call(asked: dict[str, Any]) -> Any:
    """Return a call that these conditions match."""
    from twisted_mesh.testing import http_call

    host = asked.get("hosts", ["shop.example"])[-1].replace("*", "www")
    path = asked.get("exact") or asked.get("template", "").replace("{id}", "4711")
    return http_call("GET", path or f"{asked.get('prefix', '')}/some/where", host=host)


def measure(find: Callable[[Any], object], calls: list[Any], seconds: float) -> float:
    """Return microseconds for each call; the best of many rounds, as others use the machine too."""
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = time.perf_counter()
        for each in calls:
            find(each)
        best = min(best, time.perf_counter() - begun)
    return best / len(calls) * 1e6


def one_by_one(table: list[tuple[Any, int]]) -> Callable[[Any], object]:
    def find(call: Any) -> object:
        for test, value in table:
            if test is None or test(call):
                return value
        return None

    return find


def row(kind: str, size: int, seconds: float) -> list[str]:
    from twisted_mesh.policy.index import Index
    from twisted_mesh.policy.match import Conditions, compile_match

    conditions = [*(KINDS[kind](at) for at in range(size - 1)), {}]
    made = [Conditions(**each) for each in conditions]
    table = [(compile_match(each), at) for at, each in enumerate(made)]
    dice = random.Random(size)
    wanted = [each if dice.random() < 0.9 else {} for each in dice.choices(conditions[:-1], k=CALLS)]
    calls = [a_call(each) for each in wanted]
    index: Index[int] = Index()
    begun = time.perf_counter()
    for asked, (test, value) in zip(made, table):
        index.add(asked, test, value)
    built = time.perf_counter() - begun
    linear = one_by_one(table)
    assert all(linear(each) == index.find(each) for each in calls)
    figures = [measure(index.find, calls, seconds), measure(linear, calls, seconds)]
    return [kind, f"{size:,}", *(f"{each:,.2f}" for each in figures), f"{built * 1e3:,.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10,100,1000,10000", help="how many routes")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long each figure is measured")
    options = parser.parse_args()
    print("| routes by | routes | index, us | each, us | index built in, ms |")
    print("|---|---|---|---|---|")
    for kind in KINDS:
        for size in map(int, options.sizes.split(",")):
            print(f"| {' | '.join(row(kind, size, options.seconds))} |", flush=True)


if __name__ == "__main__":
    main()
