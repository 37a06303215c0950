"""Whether an address is in one of some networks."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Callable, Iterable, Optional

UNIX = "unix"


def compile_networks(networks: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a client's host is in one of these networks.

    :param networks: ``10.0.0.0/8``, ``2001:db8::/32``, single addresses, or ``unix`` for who came by a unix socket.
    :raises ValueError: one is none of these.

    An IPv4 address that is written as IPv6 (``::ffff:10.0.0.1``, as sockets for both say) counts as what it is.
    """
    # By version and size, so that as many lookups are needed as there are sizes, however many networks there are.
    known: dict[tuple[int, int], set[int]] = {}
    unix = False
    for each in networks:
        if each == UNIX:
            unix = True
            continue
        network = ip_network(each)
        shift = network.max_prefixlen - network.prefixlen
        known.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
    sizes = [(version, shift, frozenset(firsts)) for (version, shift), firsts in known.items()]

    def test(host: str) -> bool:
        if not host:
            return unix
        parsed = _parsed(host)
        if parsed is None:
            return False
        version, number = parsed
        return any(each == version and number >> shift in firsts for each, shift, firsts in sizes)

    return test


@lru_cache(maxsize=1024)
def _parsed(host: str) -> Optional[tuple[int, int]]:
    """Return version and number of an address; None if it is none."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)
