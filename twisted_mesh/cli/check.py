"""Check a configuration: status 0 and one line, or 1 and every problem on standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import counted, problems_of, show
from twisted_mesh.errors import ConfigError

NAME = "check"
HELP = "check a configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("path", metavar="PATH", help="a YAML file, or a directory of them")
    options_of.output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check what `arguments` names."""
    from twisted_mesh.control.load import load

    try:
        config = load(arguments.path, os.environ, look=True)
    except ConfigError as error:
        count = len(error.problems)
        if arguments.output == "json":
            print(json.dumps({"good": False, "problems": problems_of(error)}, indent=2, ensure_ascii=False))
        print(error, file=sys.stderr)
        if count > 1:
            print(f"{arguments.path}: {count} problems", file=sys.stderr)
        return 1
    tables = len(config.routes) + sum(not isinstance(each.routes, str) for each in config.listeners.values())
    counts = {"listener": len(config.listeners), "routing table": tables, "cluster": len(config.clusters)}
    value = {"good": True, "problems": [], "counts": {f"{what}s": number for what, number in counts.items()}}
    texts = [counted(number, what) for what, number in counts.items()]
    show(arguments, value, lambda: f"{arguments.path}: good: {', '.join(texts)}")
    return 0
