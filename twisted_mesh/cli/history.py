"""List the versions of the configuration that are kept, the newest first: who changed what, when and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import age, complain, plain, show, table
from twisted_mesh.cli.session import Session, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.resource import Change

NAME = "history"
HELP = "list the versions of the configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "name",
        metavar="RESOURCE",
        nargs="?",
        type=options_of.resource,
        help="only what changed this; everything if not given",
    )
    parser.add_argument(
        "-n", metavar="N", dest="limit", type=options_of.count, default=20, help="how many; 20 if not given"
    )
    parser.add_argument(
        "--keep", metavar="N", type=options_of.count, help="have the bus keep so many versions from now on"
    )
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    return with_mesh(arguments, lambda session: _history(session, arguments))


async def _history(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.control.nearest import did_you_mean

    if arguments.keep is not None:
        await session.store.keep(arguments.keep)
    # Of one resource, all that is kept is looked through.
    found = await session.store.history(arguments.limit if arguments.name is None else 10**6)
    if arguments.name is not None:
        known = {name for each in found for name in each.names}
        found = [each for each in found if arguments.name in each.names][: arguments.limit]
        if not found:
            near = did_you_mean(arguments.name, known)
            complain(f"in what is kept {plain(arguments.name)} has not changed{near}")
    now = session.wall()
    show(arguments, [_as_json(each) for each in found], lambda: table(_HEAD, [_row(each, now) for each in found]))
    return 0


_HEAD = ["VERSION", "AGE", "WHAT", "AUTHOR", "RESOURCES", "REASON"]
# Names that are shown of one version.
_SHOWN = 4


def _row(change: Change, now: float) -> list[object]:
    names = ", ".join(change.names[:_SHOWN]) + (
        f" and {len(change.names) - _SHOWN} more" if len(change.names) > _SHOWN else ""
    )
    return [change.version, age(now - change.at), _what(change), change.author, names, change.reason]


def _what(change: Change) -> str:
    if change.share is not None:
        return f"{change.kind} {100 * change.share:.4g}%"
    if change.kind == "rollback" and change.to is not None:
        return f"rollback to {change.to}"
    if change.canary is not None:
        return f"{change.kind} of {change.canary}"
    return f"{change.kind} from {change.node}" if change.node else change.kind


def _as_json(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in change.__struct_fields__}
