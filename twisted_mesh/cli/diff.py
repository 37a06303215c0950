"""Show what `meshctl apply` would change, or what changed between two versions.

With files it is their difference to what is on the bus; with one version what changed since; with two what changed
between them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import NO, USAGE, Failure
from twisted_mesh.cli.output import show
from twisted_mesh.cli.session import Session, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.cli.difference import Difference

NAME = "diff"
HELP = "show what would change, or what has changed"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.files(parser, required=False)
    parser.add_argument("versions", metavar="VERSION", nargs="*", type=options_of.version, help="one or two versions")
    parser.add_argument("--exit-code", action="store_true", help="end with status 1 if there is a difference")
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it."""
    if bool(arguments.file) == bool(arguments.versions) or len(arguments.versions) > 2:
        raise Failure("expected either files, with -f, or one or two versions", USAGE)
    return with_mesh(arguments, lambda session: _diff(session, arguments))


async def _diff(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.difference import shown

    found = await (_to_files(session, arguments) if arguments.file else _between(session, arguments.versions))
    show(arguments, [each.as_json() for each in found], lambda: shown(found))
    return NO if found and arguments.exit_code else 0


async def _to_files(session: Session, arguments: argparse.Namespace) -> list[Difference]:
    from twisted_mesh.cli.difference import differences
    from twisted_mesh.cli.trouble import reading

    proposed = reading(arguments)
    stored = await session.store.read()
    return differences(stored.resources, {each.name: each.draft for each in proposed})


async def _between(session: Session, versions: list[int]) -> list[Difference]:
    from twisted_mesh.cli.difference import differences, readable

    before = await session.store.at(versions[0])
    after = await session.store.at(versions[1]) if len(versions) == 2 else (await session.store.read()).resources
    drafts = {name: readable(after[name]) if name in after else None for name in sorted({*before, *after})}
    return differences(before, drafts)
