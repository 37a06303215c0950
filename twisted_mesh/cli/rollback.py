"""Go back: make the configuration as it was in an earlier version, as a new version.

Without --to it ends an open canary, or, if there is none, undoes the last version that changed anything.
"""

from __future__ import annotations

import argparse
import os

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.session import Session, author_of, with_mesh

NAME = "rollback"
HELP = "go back to an earlier version, or end a canary"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--to", metavar="VERSION", type=options_of.version, help="the version to go back to")
    options_of.change(parser)


def run(arguments: argparse.Namespace) -> int:
    """Go back."""
    return with_mesh(arguments, lambda session: _rollback(session, arguments))


async def _rollback(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.writing import finish_change

    author = author_of(arguments, os.environ)
    written = await session.store.rollback(author=author, reason=arguments.reason, to=arguments.to)
    done = "rolled back" if arguments.to is None else f"rolled back to version {arguments.to}"
    return await finish_change(session, arguments, written, done)
