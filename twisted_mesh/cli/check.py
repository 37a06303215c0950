"""Check a configuration: status 0 and one line, or 1 and every problem on standard error."""

from __future__ import annotations

import argparse
import os
import sys

from twisted_mesh.errors import ConfigError

NAME = "check"
HELP = "check a configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("path", metavar="PATH", help="a YAML file, or a directory of them")


def run(arguments: argparse.Namespace) -> int:
    """Check what `arguments` names."""
    from twisted_mesh.control.load import load

    try:
        config = load(arguments.path, os.environ)
    except ConfigError as error:
        count = len(error.problems)
        print(error, file=sys.stderr)
        if count > 1:
            print(f"{arguments.path}: {count} problems", file=sys.stderr)
        return 1
    tables = len(config.routes) + sum(not isinstance(each.routes, str) for each in config.listeners.values())
    counts = [
        _count(len(config.listeners), "listener"),
        _count(tables, "routing table"),
        _count(len(config.clusters), "cluster"),
    ]
    print(f"{arguments.path}: good: {', '.join(counts)}")
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
