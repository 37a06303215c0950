"""Write the reference of the configuration as Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "docs"
HELP = "write the reference of the configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("path", metavar="FILE", nargs="?", help="where to write it; standard output if not given")


def run(arguments: argparse.Namespace) -> int:
    """Write the reference."""
    from twisted_mesh.control.reference import markdown

    text = markdown()
    if arguments.path is None:
        print(text, end="")
    else:
        Path(arguments.path).write_text(text, encoding="utf-8")
    return 0
