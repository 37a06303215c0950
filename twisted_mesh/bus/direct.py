"""Finding the server among the addresses that the settings name, and in a Redis Cluster the node of the mesh's slot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.bus.errors import BusError
from twisted_mesh.model.address import Address

if TYPE_CHECKING:
    from twisted_mesh.bus.dial import Dialer, Link

# From node to node; a cluster that has settled needs one.
MOST_MOVES = 5
# Nodes of a cluster that are remembered beside those of the settings.
MOST_KNOWN = 64
_MOVED = re.compile(r"MOVED \d+ (.*):(\d+)", re.ASCII)


class Direct:
    """Tries addresses in turn until one is a master that serves.

    :param slot_key: a key of the mesh: in a cluster its slot's node is wanted.
    """

    def __init__(self, dialer: Dialer, slot_key: str) -> None:
        self._dialer = dialer
        self._slot_key = slot_key
        self._addresses = dialer.settings.url.addresses
        # In a cluster: where its nodes were when we last looked, the one that served first.
        self._known: list[Address] = []

    async def find(self) -> Link:
        """Return a connection to the server.

        :raises BusError: none of them serves; why the first one does not.
        """
        first: Optional[BusError] = None
        for address in dict.fromkeys([*self._known, *self._addresses]):
            try:
                return await self._at(address)
            except BusError as error:
                first = first or error
        assert first is not None
        raise first

    def moved(self, text: str, server: str) -> None:
        """Try first where a ``MOVED`` reply of `server` points to."""
        address = moved_to(text, Address.parse(server))
        if address is not None:
            self._know([address])

    async def _at(self, address: Address) -> Link:
        link = await self._dialer.dial(address)
        try:
            if link.mode == "cluster":
                return await self._slot_owner(link, address)
            if link.role == "replica":
                raise BusError("refused", "it is a replica; the mesh needs its master", server=link.server)
        except BaseException:
            link.abort(BusError("down", "not the wanted server", server=link.server))
            raise
        return link

    async def _slot_owner(self, link: Link, address: Address) -> Link:
        """Follow the cluster to the node that has the mesh's slot."""
        for _ in range(MOST_MOVES):
            try:
                await link.ask(("EXISTS", self._slot_key), self._dialer.settings.timeout)
            except BusError as error:
                target = moved_to(error.detail, address)
                if target is None:
                    # A slot that is on its way belongs to the node that it leaves until all of it has arrived.
                    if error.code == "NOPERM" or error.moving:
                        break
                    raise
            else:
                break
            link.abort(BusError("down", "another node has the slot", server=link.server))
            link = await self._dialer.dial(target)
            address = target
        else:
            link.abort(BusError("down", "another node has the slot", server=link.server))
            raise BusError("refused", f"moved on {MOST_MOVES} times: the cluster has not settled", server=link.server)
        await self._learn(link, address)
        return link

    async def _learn(self, link: Link, address: Address) -> None:
        """Remember the other nodes, as those of the settings may be gone one day."""
        try:
            slots = await link.ask(("CLUSTER", "SLOTS"), self._dialer.settings.timeout)
        except BusError as error:
            if error.kind != "refused":
                raise
            slots = []
        self._known = []
        self._know([*_nodes(slots, address), address])

    def _know(self, addresses: list[Address]) -> None:
        """Put addresses before those known."""
        self._known = list(dict.fromkeys([*reversed(addresses), *self._known]))[:MOST_KNOWN]


def moved_to(text: str, asked: Address) -> Optional[Address]:
    """Return the address in ``MOVED 3999 127.0.0.1:6381``, None if it is another error.

    A node that does not know its own host leaves it out, which means the one that was asked.
    """
    found = _MOVED.fullmatch(text)
    if found is None:
        return None
    return Address(found[1].strip("[]") or asked.host, int(found[2]))


def _nodes(slots: Any, asked: Address) -> list[Address]:
    """Return the nodes in an answer to CLUSTER SLOTS: ranges, each with its master and its replicas."""
    found: dict[Address, None] = {}
    for one in slots if isinstance(slots, list) else []:
        for node in one[2:] if isinstance(one, list) else []:
            if isinstance(node, list) and len(node) >= 2 and isinstance(node[1], int):
                host = node[0].decode("utf-8", "replace") if isinstance(node[0], bytes) else ""
                found[Address(host if host not in ("", "?") else asked.host, node[1])] = None
    return list(found)
