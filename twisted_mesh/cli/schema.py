"""Print the JSON Schema of the configuration, for editors that complete and check YAML."""

from __future__ import annotations

import argparse
import json

NAME = "schema"
HELP = "print the JSON Schema of the configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes: nothing."""


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    from twisted_mesh.control.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
