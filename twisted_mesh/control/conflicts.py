"""Addresses that two parts of one process cannot both listen on."""

from __future__ import annotations

import socket
from typing import Any, Iterator

from twisted_mesh.control.tree import Items, Mark, Table, locate, path_text
from twisted_mesh.errors import Problem
from twisted_mesh.model import Address, Config

_LOOPBACK = ("127.0.0.1", "::1")


def conflicts(tree: Table) -> Iterator[Problem]:
    """Yield a problem for each address that something before it has taken.

    :param tree: what was written; an address that cannot be read there is passed over.
    """
    taken: list[tuple[Address, str]] = []
    for mark, address in _addresses(tree):
        by = next((each for other, each in taken if overlap(address, other)), None)
        if by is not None:
            yield mark.problem(f"{address} is taken by {by}")
        # Nobody wrote it in a file: it is the default, or stood on the command line.
        unwritten = not mark.keys or not mark.line
        taken.append(
            (address, f"the admin ({address})" if unwritten else f"{path_text(mark.keys)} ({address}, {mark})")
        )


def _addresses(tree: Table) -> Iterator[tuple[Mark, Address]]:
    """Yield every address that is listened on, and where it stands: at the top if nobody wrote it."""
    admin = tree.get("admin", str(Config.model_fields["admin"].default))
    yield from _address(admin, locate(tree, ("admin",)))
    listeners = tree.get("listeners")
    for listener in listeners.values() if isinstance(listeners, Table) else ():
        bind = listener.get("bind") if isinstance(listener, Table) else None
        if isinstance(bind, Items):
            for each, mark in zip(bind, bind.marks, strict=True):
                yield from _bind(each, mark)
        elif bind is not None:
            yield from _bind(bind, listener.marks["bind"])


def _bind(bind: Any, mark: Mark) -> Iterator[tuple[Mark, Address]]:
    long = isinstance(bind, Table)
    yield from _address(bind.get("address") if long else bind, locate(bind, ("address",)) if long else mark)


def _address(text: Any, mark: Mark) -> Iterator[tuple[Mark, Address]]:
    try:
        yield mark, Address.parse(text)
    except ValueError:
        # It is off, or no address and has its problem.
        return


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
