"""Change resources of the configuration for all sidecars, or for those that a file selects.

A file holds `listeners`, `routes`, `clusters` and `groups` as a sidecar's own does; with `select` (service, zone,
labels, node, group) it is for some sidecars only, and a name such as `web@edge` keeps it apart from another `web`. What
the files say is checked as a sidecar checks it, shown as a diff, and written as one version; what they do not name
stays.

With --canary only a share of the sidecars gets it, until `meshctl promote` or `meshctl rollback`; it rolls itself back
when one of them refuses it, or when their share of failed calls is greater than the others' by more than --margin.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import complain, counted, plain, show
from twisted_mesh.cli.session import Session, author_of, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.cli.difference import Difference

NAME = "apply"
HELP = "change the configuration of all sidecars"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    options_of.files(parser)
    add("--dry-run", action="store_true", help="check and show the diff, and write nothing")
    options_of.author(parser)
    options_of.waiting(parser)
    add("--canary", metavar="PERCENT", type=options_of.share, help="for this percentage of the sidecars only")
    add("--margin", metavar="PERCENT", type=options_of.share, default=0.05, help="of a canary; 5 percent if not given")
    add(
        "--least-calls",
        metavar="N",
        type=options_of.count,
        default=100,
        help="that a canary is judged by; 100 if not given",
    )
    add("--force", action="store_true", help="also where the Redis has lost what sidecars still have: they drop it")
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Apply them."""
    from twisted_mesh.cli.trouble import reading

    proposed = reading(arguments)
    return with_mesh(arguments, lambda session: _apply(session, arguments, proposed))


async def _apply(session: Session, arguments: argparse.Namespace, proposed: Any) -> int:
    from twisted_mesh.bus.store import Trial
    from twisted_mesh.bus.store_answers import Written
    from twisted_mesh.cli.difference import differences
    from twisted_mesh.cli.trouble import checking
    from twisted_mesh.cli.writing import finish

    stored = await session.store.read()
    warnings = checking(arguments, proposed, stored.resources)
    found = differences(stored.resources, {each.name: each.draft for each in proposed})
    _say(arguments, found, warnings)
    more: dict[str, Any] = {"changes": [each.as_json() for each in found], "warnings": warnings}
    if arguments.dry_run or not found:
        more["dry_run"] = arguments.dry_run
    if arguments.dry_run and found:
        line = f"version {stored.version} stays: {counted(len(found), 'resource')} would be applied"
        show(arguments, {"version": stored.version, "new": False, **more}, lambda: line)
        return 0
    if not found:
        # Who applies again what was refused before is told so again.
        names = [each.name for each in proposed]
        return await finish(session, arguments, Written(stored.version, False), names, "", more)
    canary = None
    if arguments.canary is not None and arguments.canary < 1:
        canary = Trial(arguments.canary, arguments.margin, arguments.least_calls)
    written = await session.store.apply(
        {each.name: each.after for each in found},
        author=author_of(arguments, os.environ),
        reason=arguments.reason,
        expected={each.name: each.version for each in found},
        canary=canary,
        force=arguments.force,
    )
    done = f"{counted(len(found), 'resource')} applied"
    if canary is not None:
        done += f" for {100 * canary.share:.4g} % of the sidecars"
    return await finish(session, arguments, written, [each.name for each in found], done, more)


def _say(arguments: argparse.Namespace, found: list[Difference], warnings: list[str]) -> None:
    from twisted_mesh.cli.difference import shown

    for each in warnings:
        complain(f"note: {plain(each)}")
    if arguments.output != "json" and found:
        print(shown(found))
