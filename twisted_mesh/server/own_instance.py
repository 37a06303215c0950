"""The instance that a configuration wants registered: its address, its ports, and where its application is asked."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.bus.instance import Instance, check
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model.address import Address, literal_family

if TYPE_CHECKING:
    from twisted_mesh.model import Config, Node


def instance_of(config: Config, address: str, owner: str = "") -> Optional[Instance]:
    """Return the instance that a configuration wants registered, None if it wants none.

    :param address: this machine's address, where the configuration gives none.
    :raises ConfigError: it does not say under which port it is reached.
    """
    node = config.node
    if not (node.service and node.registered):
        return None
    ports = dict(node.ports) or _ports(config)
    if not ports:
        return None
    made = Instance(
        id=node.id or f"{socket.gethostname()}-{next(iter(ports.values()))}",
        service=node.service,
        address=node.address or address,
        ports=ports,
        zone=node.zone,
        weight=node.weight,
        labels=dict(node.labels),
        version=node.version or node.labels.get("version", ""),
        lease=node.lease,
        heartbeat=node.beat,
        owner=owner or f"{socket.gethostname()}:{os.getpid()}",
    )
    try:
        return check(made)
    except ValueError as error:
        raise ConfigError([Problem(f"node.{error}", 0, 0, "", "it cannot be registered")]) from error


def _ports(config: Config) -> dict[str, int]:
    """Return the port of the one listener of each protocol."""
    found: dict[str, int] = {}
    names: dict[str, str] = {}
    for name, listener in config.listeners.items():
        for bind in listener.bind:
            if not bind.address.port:
                continue
            protocol = listener.protocol
            if protocol in found:
                message = (
                    f"the listeners {names[protocol]} and {name} both speak {protocol}: say under which port others "
                    f"reach service {config.node.service}, as in ports: {{{protocol}: {found[protocol]}}}, or "
                    "registered: false"
                )
                raise ConfigError([Problem("node.ports", 0, 0, "", message)])
            found[protocol], names[protocol] = bind.address.port, name
    return found


def app_of(node: Node, instance: Instance) -> Address:
    """Return where the application of an instance is asked how it is.

    :raises OSError: its name has no address.
    """
    wanted = node.app or Address(instance.address, next(iter(instance.ports.values())))
    if wanted.path or literal_family(wanted.host) is not None:
        return wanted
    found: Any = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)
    return Address(found[0][4][0], wanted.port)


def address_towards(host: str) -> str:
    """Return the address that this machine has on the way to `host`; loopback where nobody can say."""
    if not host:
        return "127.0.0.1"
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, proto) as sock:
            sock.connect(where)
            return str(sock.getsockname()[0])
    except OSError:
        return "127.0.0.1"
