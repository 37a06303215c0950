"""Print the JSON Schema of the configuration, for editors that complete and check YAML."""

from __future__ import annotations

import argparse
import json

from twisted_mesh.cli import parser as options_of

NAME = "schema"
HELP = "print the JSON Schema of the configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.output(parser, ("json",))


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    from twisted_mesh.control.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
