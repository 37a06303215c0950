"""Override what is known of an endpoint, for a time: its weight, or that it gets no calls.

WHAT is weight=N (0 takes no calls), drain (no new calls) or maintenance (no calls and no health checks); none ends the
override. It holds for all sidecars, survives their restarts, and ends by itself. Without WHAT the overrides in force
are listed.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import USAGE, Failure
from twisted_mesh.cli.output import age, complain, plain, show, table
from twisted_mesh.cli.session import Session, author_of, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.overrides import Override

NAME = "override"
HELP = "override an endpoint's weight, or keep calls from it, for a time"

_HEAD = ["OF", "ENDPOINT", "WHAT", "ENDS IN", "AUTHOR", "REASON"]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("service", metavar="SERVICE", nargs="?", help="a service, or with --cluster a cluster")
    add("endpoint", metavar="ENDPOINT", nargs="?", help="an instance's id, or an address as /clusters shows it")
    add("what", metavar="WHAT", nargs="?", help="weight=N, drain, maintenance or none")
    add("--cluster", action="store_true", help="SERVICE is the name of a cluster of the configuration")
    options_of.ttl(parser)
    options_of.author(parser)
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Override it."""
    if (arguments.endpoint is None) != (arguments.what is None):
        raise Failure("say all of SERVICE ENDPOINT WHAT, or none of them for a list", USAGE)
    kind, weight = _what(arguments.what)
    return with_mesh(arguments, lambda session: _override(session, arguments, kind, weight))


def _what(text: Optional[str]) -> tuple[str, int]:
    """Return the kind, and the weight.

    :raises Failure: it is neither.
    """
    name, equals, number = (text or "").partition("=")
    if name == "weight" and equals and number.isascii() and number.isdigit():
        return name, int(number)
    if text in (None, "drain", "maintenance", "none"):
        return text or "", 0
    raise Failure(f'expected weight=N, drain, maintenance or none, got "{text}"', USAGE)


async def _override(session: Session, arguments: argparse.Namespace, kind: str, weight: int) -> int:
    from twisted_mesh.bus.overrides import EVERY_ENDPOINT
    from twisted_mesh.cli.instances import missing

    if not kind:
        return await _list(session, arguments)
    scope = "cluster" if arguments.cluster else "service"
    where = f"{scope}/{arguments.service}/{arguments.endpoint}"
    if kind == "none":
        return await end_override(
            session, arguments, where, f"there is no override of {where}", f"{where}: the override has ended"
        )
    made = _made(arguments, scope, kind, weight, session.wall())
    await session.overrides.put(made)
    if scope == "service" and made.endpoint != EVERY_ENDPOINT:
        unknown = await missing(session, made.name, made.endpoint)
        if unknown:
            complain(f"note: {plain(unknown)}: the override waits for it")
    show(arguments, override_json(made, 0.0), lambda: f"{where}: {arguments.what} for {arguments.ttl:g} s")
    return 0


async def end_override(session: Session, arguments: argparse.Namespace, where: str, missing: str, said: str) -> int:
    """Remove an override and say so.

    :raises Failure: there is none, in the words of `missing`.
    """
    if not await session.overrides.remove(where):
        raise Failure(missing)
    show(arguments, {"id": where, "removed": True}, lambda: said)
    return 0


def _made(arguments: argparse.Namespace, scope: str, kind: str, weight: int, now: float) -> Override:
    from twisted_mesh.bus.overrides import Override

    return Override(
        scope=scope,
        name=arguments.service,
        endpoint=arguments.endpoint,
        kind=kind,
        weight=weight,
        ttl=arguments.ttl,
        author=author_of(arguments, os.environ),
        reason=arguments.reason,
        at=now,
    )


async def _list(session: Session, arguments: argparse.Namespace) -> int:
    found = [each for each in await session.overrides.all() if arguments.service in (None, each.name)]
    now = session.wall()
    rows = [
        [
            f"{each.scope} {each.name}",
            each.endpoint,
            _text(each),
            age(each.expires / 1000 - now),
            each.author,
            each.reason,
        ]
        for each in found
    ]
    show(arguments, [override_json(each, now) for each in found], lambda: table(_HEAD, rows))
    return 0


def _text(override: Override) -> str:
    if override.kind == "weight":
        return f"weight={override.weight}"
    return override.kind if override.percent == 100 else f"{override.kind} {override.percent:g}%"


def override_text(override: Override, now: float) -> str:
    """Return what it says, whose it is and when it ends, in a few words."""
    by = f" by {override.author}" if override.author else ""
    return f"{_text(override)}{by} for {age(override.expires / 1000 - now)}"


def override_json(override: Override, now: float) -> dict[str, Any]:
    """Return it for programs."""
    # What is remembered is a sidecar's own matter.
    made = {name: getattr(override, name) for name in override.__struct_fields__ if name != "remembered"}
    made["id"] = override.id
    made["expires"] = override.expires / 1000 if override.expires else None
    made["expires_in"] = round(override.expires / 1000 - now, 3) if override.expires and now else override.ttl
    return made
