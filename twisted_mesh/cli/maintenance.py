"""Turn calls to a whole cluster away, or a share of them, for a time: a switch for all sidecars of the mesh.

They answer 503 with the flag MM, and routes with a failover go there. It ends by itself after --ttl. Without CLUSTER
what is under maintenance is listed.
"""

from __future__ import annotations

import argparse
import os

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import USAGE, Failure
from twisted_mesh.cli.output import age, complain, plain, show, table
from twisted_mesh.cli.override import end_override, override_json
from twisted_mesh.cli.session import Session, author_of, with_mesh

NAME = "maintenance"
HELP = "turn calls to a whole cluster away, for a time"

_HEAD = ["OF", "PERCENT", "ENDS IN", "AUTHOR", "REASON"]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("cluster", metavar="CLUSTER", nargs="?", help="a cluster, or with --service a service")
    add("state", metavar="STATE", nargs="?", choices=["on", "off"], help="on or off")
    add("--service", action="store_true", help="CLUSTER is the name of a service: all clusters of its instances")
    add(
        "--percent",
        metavar="PERCENT",
        type=options_of.share,
        default=1.0,
        help="how much is turned away; all if not given",
    )
    options_of.ttl(parser)
    options_of.author(parser)
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Turn the switch."""
    if (arguments.cluster is None) != (arguments.state is None):
        raise Failure("say both of CLUSTER STATE, or none of them for a list", USAGE)
    return with_mesh(arguments, lambda session: _turn(session, arguments))


async def _turn(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.bus.overrides import EVERY_ENDPOINT, Override

    if arguments.cluster is None:
        return await _list(session, arguments)
    scope = "service" if arguments.service else "cluster"
    named = f"{scope} {arguments.cluster}"
    if arguments.state == "off":
        where = f"{scope}/{arguments.cluster}/{EVERY_ENDPOINT}"
        missing, said = f"{named} is not under maintenance", f"{named}: under maintenance no more"
        return await end_override(session, arguments, where, missing, said)
    made = Override(
        scope=scope,
        name=arguments.cluster,
        endpoint=EVERY_ENDPOINT,
        kind="maintenance",
        percent=arguments.percent * 100,
        ttl=arguments.ttl,
        author=author_of(arguments, os.environ),
        reason=arguments.reason,
        at=session.wall(),
    )
    await session.overrides.put(made)
    if arguments.service and not (await session.registry.instances(made.name)).records:
        complain(f"note: {plain(made.name)} has no instance")
    said = f"{named}: under maintenance for {arguments.ttl:g} s, {made.percent:g} % of the calls are turned away"
    show(arguments, override_json(made, 0.0), lambda: said)
    return 0


async def _list(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.bus.overrides import EVERY_ENDPOINT

    found = [each for each in await session.overrides.all() if each.endpoint == EVERY_ENDPOINT]
    now = session.wall()
    rows = [
        [f"{each.scope} {each.name}", f"{each.percent:g}", age(each.expires / 1000 - now), each.author, each.reason]
        for each in found
    ]
    show(arguments, [override_json(each, now) for each in found], lambda: table(_HEAD, rows))
    return 0
