"""List the services of the mesh, and how many instances each has."""

from __future__ import annotations

import argparse

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import show, table
from twisted_mesh.cli.session import Session, with_mesh

NAME = "services"
HELP = "list the services"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.bus(parser, ("text", "json", "names"))


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    return with_mesh(arguments, lambda session: _services(session, arguments))


async def _services(session: Session, arguments: argparse.Namespace) -> int:
    listed = await session.registry.services()
    value = [
        {
            "service": each.name,
            "instances": each.leased + each.suspects,
            "suspects": each.suspects,
            "version": each.version,
        }
        for each in listed
    ]
    rows = [[each.name, each.leased + each.suspects, each.suspects or ""] for each in listed]
    show(arguments, value, lambda: table(["SERVICE", "INSTANCES", "SUSPECTS"], rows), [each.name for each in listed])
    return 0
