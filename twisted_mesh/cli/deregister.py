"""Take an instance of a service away; calls in flight to it go on."""

from __future__ import annotations

import argparse

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import show
from twisted_mesh.cli.session import Session, with_mesh

NAME = "deregister"
HELP = "take an instance of a service away"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.instance(parser)
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Deregister it."""
    return with_mesh(arguments, lambda session: _deregister(session, arguments))


async def _deregister(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.instances import find

    instance = await find(session, arguments.service, arguments.instance)
    gone = await session.registry.deregister(instance.service, instance.id)
    value = {"service": instance.service, "id": instance.id, "deregistered": gone}
    line = f"{instance.service}/{instance.id}: {'deregistered' if gone else 'was gone already'}"
    show(arguments, value, lambda: line)
    return 0
