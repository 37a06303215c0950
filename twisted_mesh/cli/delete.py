"""Delete resources from the bus: what a sidecar's own file has under the name is in force there again."""

from __future__ import annotations

import argparse
import os

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import complain, counted, plain
from twisted_mesh.cli.session import Session, author_of, with_mesh

NAME = "delete"
HELP = "delete resources from the bus"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("names", metavar="RESOURCE", nargs="+", type=options_of.resource, help="such as clusters/web")
    options_of.change(parser)


def run(arguments: argparse.Namespace) -> int:
    """Delete them."""
    return with_mesh(arguments, lambda session: _delete(session, arguments))


async def _delete(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.get import all_of, check_known
    from twisted_mesh.cli.proposal import missed
    from twisted_mesh.cli.writing import finish

    names = list(dict.fromkeys(arguments.names))
    found = await all_of(session)
    check_known(names, found)
    for each in missed(found, names):
        complain(f"note: {plain(each)}")
    author = author_of(arguments, os.environ)
    before = (await session.store.status()).nacks if arguments.wait else None
    expected = {name: found[name].version for name in names}
    written = await session.store.delete(names, author=author, reason=arguments.reason, expected=expected)
    done = f"{counted(len(names), 'resource')} deleted"
    return await finish(session, arguments, written, names, done, {"names": names}, before)
