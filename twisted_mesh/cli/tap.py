"""Show the calls of a sidecar as they end, with what filters in shadow mode would have done.

TEST is NAME=VALUE, and all of them have to hold: listener, protocol, route, cluster, endpoint, method (a command of
Redis), host, path (how it, or a key of Redis, begins), size (64KiB: at least that, in or out), client, flag, status
(503 or 5xx), shadow (a filter that would not have let it pass). Without -o json there is a short line for each call;
with it the line that the access log has.
"""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import urlencode

from twisted_mesh.cli import admin_address
from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import USAGE, Failure
from twisted_mesh.cli.output import plain

NAME = "tap"
HELP = "show calls as they end"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("tests", metavar="TEST", nargs="*", help="NAME=VALUE, such as status=5xx or route=api")
    add("--calls", metavar="N", type=options_of.count, default=1000, help="how many; 1000 if not given")
    add("--for", metavar="DURATION", dest="seconds", default="60s", help="how long; 60s if not given, 10m at most")
    admin_address.option(parser)
    options_of.output(parser, ("text", "json"))


def run(arguments: argparse.Namespace) -> int:
    """Print them as they come."""
    asked = {"calls": str(arguments.calls), "seconds": arguments.seconds}
    for each in arguments.tests:
        name, equals, value = each.partition("=")
        if not equals or name in ("calls", "seconds", "format"):
            raise Failure(f'TEST: expected NAME=VALUE, such as status=5xx, got "{each}"', USAGE)
        asked[name] = value
    for line in admin_address.lines(arguments, f"/tap?{urlencode(asked)}"):
        text = line.decode("utf-8", "replace").rstrip("\n")
        print(plain(text if arguments.output == "json" else _short(json.loads(text))), flush=True)
    return 0


def _short(call: dict[str, Any]) -> str:
    """Return a call in one short line."""
    if "dropped" in call:
        return f"({call['dropped']} more, which came faster than they could be shown)"
    extra = call.get("extra")
    shadow = extra.get("shadow", {}) if isinstance(extra, dict) else {}
    parts = [
        call["time"],
        call["listener"],
        call["method"],
        f"{call.get('host', '')}{call.get('path', '')}" or "-",
        str(call["status"] or "-"),
        ",".join(call.get("flags", ())) or "-",
        f"{call['duration_ms']:.1f}ms",
        call.get("route", "-"),
        call.get("endpoint", "-"),
        *(f"shadow:{name}:{decision}" for name, decision in shadow.items()),
    ]
    return "  ".join([*parts, call["details"]] if "details" in call else parts)
