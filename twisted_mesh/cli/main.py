"""The entry of ``meshctl``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Optional, Sequence

from twisted_mesh import __version__
from twisted_mesh.cli import check, docs, schema

# A command is a module with `NAME`, `HELP`, `options(parser)` and `run(arguments) -> status`.
COMMANDS = (check, schema, docs)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(prog="meshctl", description="Look after a twisted_mesh.", allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"meshctl {__version__}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.__doc__, allow_abbrev=False)
        module.options(command)
        command.set_defaults(run=module.run)
    return whole


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command; returns the exit status: 0, 1 where the answer is no, 2 for a wrong command line."""
    parsed = parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough; the interpreter must not flush into the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
