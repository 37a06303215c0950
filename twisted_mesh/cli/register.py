"""Register an instance of a service by hand, for what has no sidecar.

Nobody renews its lease: it is gone when the lease is over, unless it is registered again before. With --keep meshctl
stays, renews the lease, and deregisters the instance when it is told to end.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import show
from twisted_mesh.cli.session import Session, with_mesh

NAME = "register"
HELP = "register an instance of a service"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("service", metavar="SERVICE", help="the name of the service")
    add("address", metavar="HOST:PORT", type=options_of.address, help="where it listens")
    add("--id", metavar="ID", help="its id; HOST:PORT if not given")
    add("--protocol", metavar="NAME", default="http", help="what it speaks at PORT; http if not given")
    add("--port", metavar="PROTOCOL=PORT", type=options_of.pair, action="append", default=[], help="another port of it")
    add("--label", metavar="NAME=VALUE", type=options_of.pair, action="append", default=[], help="a label of it")
    add("--version", metavar="TEXT", default="", help="its version, the label that canaries go by")
    add("--zone", metavar="NAME", default="", help="where it runs")
    add("--weight", metavar="N", type=options_of.weight, default=1, help="its share of the calls; 1 if not given")
    add("--lease", metavar="DURATION", type=options_of.duration, default=15.0, help="15s if not given")
    add(
        "--status",
        metavar="STATUS",
        choices=("starting", "up", "draining", "down"),
        default="up",
        help="up if not given",
    )
    add("--keep", action="store_true", help="stay, renew the lease, and deregister at the end")
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Register it."""
    return with_mesh(arguments, lambda session: _register(session, arguments))


async def _register(session: Session, arguments: argparse.Namespace) -> int:
    from twisted_mesh.cli.instances import as_json
    from twisted_mesh.cli.keeping import keep

    instance = _instance(arguments)
    before = await session.registry.register(instance)
    where = ", ".join(f"{name} {port}" for name, port in instance.ports.items())
    value = {"registered": as_json(instance), "replaced": None if before is None else as_json(before)}
    lines = [f"{instance.service}/{instance.id} at {instance.address} ({where}): registered for {arguments.lease:g} s"]
    if before is not None:
        lines.append(f"it replaces {before}, which another process had registered")
    show(arguments, value, lambda: "\n".join(lines))
    return await keep(session, instance) if arguments.keep else 0


def _instance(arguments: argparse.Namespace) -> Any:
    from twisted_mesh.bus.instance import HEARTBEAT, Instance
    from twisted_mesh.cli.failure import USAGE, Failure
    from twisted_mesh.model.address import Address

    address = Address.parse(arguments.address)
    if address.path:
        raise Failure(f"expected HOST:PORT, which other machines can reach, got {arguments.address}", USAGE)
    ports = {arguments.protocol: address.port}
    for protocol, port in arguments.port:
        if not port.isdigit():
            raise Failure(f"--port: expected PROTOCOL=PORT, got {protocol}={port}", USAGE)
        ports[protocol] = int(port)
    return Instance(
        id=arguments.id or str(address),
        service=arguments.service,
        address=address.host,
        ports=ports,
        zone=arguments.zone,
        weight=arguments.weight,
        labels=dict(arguments.label),
        version=arguments.version,
        status=arguments.status,
        lease=arguments.lease,
        heartbeat=min(HEARTBEAT, arguments.lease / 3) if arguments.keep else 0.0,
        owner=f"meshctl:{os.getpid()}" if arguments.keep else "",
    )
