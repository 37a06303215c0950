"""Write a reference as Markdown: of the configuration, made from its models, or of meshctl, made from its parser."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "docs"
HELP = "write the reference of the configuration or of meshctl"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--of",
        choices=("configuration", "meshctl"),
        metavar="WHAT",
        default="configuration",
        help="configuration or meshctl; configuration if not given",
    )
    parser.add_argument("path", metavar="FILE", nargs="?", help="where to write it; standard output if not given")


def run(arguments: argparse.Namespace) -> int:
    """Write the reference."""
    text = _meshctl() if arguments.of == "meshctl" else _configuration()
    if arguments.path is None:
        print(text, end="")
    else:
        Path(arguments.path).write_text(text, encoding="utf-8")
    return 0


def _configuration() -> str:
    from twisted_mesh.control.reference import markdown

    return markdown()


def _meshctl() -> str:
    from twisted_mesh.cli.main import parser
    from twisted_mesh.cli.reference import markdown
    from twisted_mesh.cli.words import words_of

    return markdown(words_of(parser()))
