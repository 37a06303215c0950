"""Give what an open canary has to all sidecars, as a new version."""

from __future__ import annotations

import argparse
import os

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.session import Session, author_of, with_mesh

NAME = "promote"
HELP = "give what the canary has to all"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        type=options_of.version,
        help="the canary that is meant; any if not given",
    )
    options_of.change(parser)


def run(arguments: argparse.Namespace) -> int:
    """Promote it."""
    return with_mesh(arguments, lambda session: _promote(session, arguments))


async def _promote(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.writing import finish_change

    author = author_of(arguments, os.environ)
    written = await session.store.promote(author=author, reason=arguments.reason, version=arguments.version)
    return await finish_change(session, arguments, written, "promoted")
