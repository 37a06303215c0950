"""Have an instance of a service get no more calls; it stays registered. --undo has it get calls again.

Where all instances of a cluster are drained they still serve: that is better than nobody. `meshctl override` with
maintenance ends that as well.
"""

from __future__ import annotations

import argparse

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import show
from twisted_mesh.cli.session import Session, with_mesh

NAME = "drain"
HELP = "have an instance get no more calls"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.instance(parser)
    parser.add_argument("--undo", action="store_true", help="have it get calls again")
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Drain it."""
    return with_mesh(arguments, lambda session: _drain(session, arguments))


async def _drain(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.failure import Failure
    from twisted_mesh.cli.instances import find

    instance = await find(session, arguments.service, arguments.instance)
    status = "up" if arguments.undo else "draining"
    if not await session.registry.set_status(instance.service, instance.id, status):
        raise Failure(f"{instance.service}/{instance.id} was deregistered just now")
    value = {"service": instance.service, "id": instance.id, "status": status, "before": instance.status}
    show(arguments, value, lambda: f"{instance.service}/{instance.id}: {status} (was {instance.status})")
    return 0
