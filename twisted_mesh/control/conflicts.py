"""Addresses that two parts of one process cannot both listen on."""

from __future__ import annotations

import socket
from typing import Any, Iterator

from twisted_mesh.control.tree import Key, locate, path_text
from twisted_mesh.errors import Problem
from twisted_mesh.model import Address, Config

_LOOPBACK = ("127.0.0.1", "::1")


def conflicts(config: Config, tree: Any) -> Iterator[Problem]:
    """Yield a problem for each address that something before it has taken."""
    taken: list[tuple[Address, str]] = []
    for keys, address in _addresses(config):
        mark = locate(tree, keys)
        by = next((each for other, each in taken if overlap(address, other)), None)
        if by is not None:
            yield mark.problem(f"{address} is taken by {by}")
        written = keys[0] in tree
        taken.append((address, f"{path_text(mark.keys)} ({address}, {mark})" if written else f"the admin ({address})"))


def _addresses(config: Config) -> Iterator[tuple[tuple[Key, ...], Address]]:
    if config.admin is not None:
        yield ("admin",), config.admin
    for name, listener in config.listeners.items():
        for index, bind in enumerate(listener.bind):
            yield ("listeners", name, "bind", index, "address"), bind.address


def overlap(one: Address, two: Address) -> bool:
    """Whether both cannot be listened on at once.  A wildcard overlaps with every address of its family."""
    if one.path or two.path:
        return one.path == two.path
    if one.port != two.port or one.port == 0:
        return False
    return any(_same_host(here, there) for here in _hosts(one) for there in _hosts(two))


def _hosts(address: Address) -> tuple[str, ...]:
    return _LOOPBACK if address.host == "localhost" else (address.host,)


def _same_host(one: str, two: str) -> bool:
    if one == two:
        return True
    packed_one, packed_two = _packed(one), _packed(two)
    if len(packed_one) != len(packed_two):
        return False
    return packed_one == packed_two != b"" or (bool(packed_one) and not (any(packed_one) and any(packed_two)))


def _packed(host: str) -> bytes:
    """Return the bytes of an IP address, nothing for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
    return b""
