"""List the instances of a service, or of all.

Of each it shows what was registered, its status, how long its lease still holds, and apart from that what an operator
says of it at run time with `meshctl override`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Optional, Sequence

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import NO
from twisted_mesh.cli.instances import addresses, as_json
from twisted_mesh.cli.output import age, complain, labels_text, show, table
from twisted_mesh.cli.override import override_json, override_text
from twisted_mesh.cli.session import Session, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.instance import Instance
    from twisted_mesh.bus.overrides import Override
    from twisted_mesh.bus.registry import ServiceView

NAME = "endpoints"
HELP = "list the instances of a service"

_HEAD = ["SERVICE", "ID", "ADDRESS", "STATUS", "ZONE", "WEIGHT", "VERSION", "LABELS", "LEASE", "OVERRIDE"]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("services", metavar="SERVICE", nargs="*", help="services; all if none is given")
    options_of.bus(parser, ("text", "json", "names"))


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    return with_mesh(arguments, lambda session: _endpoints(session, arguments))


async def _endpoints(session: Session, arguments: argparse.Namespace) -> int:
    names = arguments.services or [each.name for each in await session.registry.services()]
    views = [await session.registry.instances(name) for name in names]
    empty = [each.name for each in views if not each.records] if arguments.services else []
    now = session.wall()
    overrides = await session.overrides.all()
    value: list[dict[str, Any]] = []
    rows = []
    for view in views:
        for each in view.instances:
            over = _override_of(each, overrides)
            value.append({**as_json(each, view, now), "override": None if over is None else override_json(over, now)})
            rows.append([*_row(each, view, now), "" if over is None else override_text(over, now)])
    show(arguments, value, lambda: table(_HEAD, rows), [each["id"] for each in value])
    for name in empty:
        complain(f"{name} has no instance")
    return NO if empty else 0


def _override_of(instance: Instance, overrides: Sequence[Override]) -> Optional[Override]:
    """Return what operators say of an instance at run time; its id goes before its address."""
    found = {each.endpoint: each for each in overrides if (each.scope, each.name) == ("service", instance.service)}
    return next((found[each] for each in (instance.id, *addresses(instance)) if each in found), None)


def _row(instance: Instance, view: ServiceView, now: float) -> list[object]:
    suspect = view.suspects.get(instance.id)
    status = instance.status
    if suspect is not None:
        status = f"suspect ({suspect.why}; until {age(suspect.until - now)} from now)"
    host = f"[{instance.address}]" if ":" in instance.address else instance.address
    ports = ",".join(f"{port}/{protocol}" for protocol, port in instance.ports.items())
    lease = age(instance.expires / 1000 - now) if suspect is None else "over"
    left = [instance.zone, instance.weight, instance.version, labels_text(instance.labels), lease]
    return [instance.service, instance.id, f"{host}:{ports}", status, *left]
