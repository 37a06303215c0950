"""Write the configuration back to a Redis that has lost it, from a sidecar that still has it.

The resources come back as they were, with their authors and dates. The history before that does not, as no sidecar has
it, nor does a canary that was open: apply it again.
"""

from __future__ import annotations

import argparse
import os

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.session import Session, author_of, with_mesh

NAME = "restore"
HELP = "write back what the Redis has lost, from a sidecar"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--from", metavar="NODE", dest="node", default="", help="the sidecar; whichever has the newest if not given"
    )
    options_of.change(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore it."""
    return with_mesh(arguments, lambda session: _restore(session, arguments))


async def _restore(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.failure import Failure
    from twisted_mesh.cli.output import complain
    from twisted_mesh.cli.writing import finish_change

    found = await session.store.status()
    if found.sidecars and not found.behind and not arguments.node:
        # Nobody has anything to offer, so nobody has to be waited for.
        raise Failure("no sidecar has more than the store: there is nothing to restore")
    author = author_of(arguments, os.environ)
    reason = arguments.reason or "restored from a sidecar"
    written = await session.store.restore(author=author, reason=reason, node=arguments.node, wait=arguments.timeout)
    status = await finish_change(session, arguments, written, "restored")
    if written.new:
        complain("the history before that is lost, and so is a canary that was open: apply it again")
    return status
