"""Which names to ask for, and when to ask again."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

# A lower TTL than this is taken as this: some servers say 0, and nobody wants a lookup for every call.
SHORTEST_TTL = 1.0

# The C library asks the first three servers, and takes no ndots above 15.
MOST_SERVERS = 3
MOST_DOTS = 15


class ResolvConf(NamedTuple):
    """What resolv.conf says: name servers (address, port), search domains, and the dots that make a name absolute."""

    servers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1


def parse_resolv_conf(text: str) -> ResolvConf:
    """Read the text of a resolv.conf(5), as the C library does; lines that mean nothing are skipped."""
    servers: list[tuple[str, int]] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split(";")[0].split() or [""]
        if word == "nameserver" and rest:
            servers.append((rest[0], 53))
        elif word in ("search", "domain"):
            search = tuple(rest)
        elif word == "options":
            dots = [each[6:] for each in rest if each.startswith("ndots:") and each[6:].isdecimal()]
            ndots = min(int(dots[-1]), MOST_DOTS) if dots else ndots
    return ResolvConf(tuple(servers[:MOST_SERVERS]), search, ndots)


def candidates(host: str, search: Sequence[str], ndots: int) -> list[str]:
    """Return the absolute names to ask for, in order, as resolv.conf(5) has it.

    A name with `ndots` dots or more is asked for as it is first, another one with each search domain first.  One that
    ends in a dot is asked for as it is and no other way.
    """
    if host.endswith("."):
        return [host[:-1]]
    searched = [f"{host}.{domain.strip('.')}" if domain.strip(".") else host for domain in search]
    ordered = [host, *searched] if host.count(".") >= ndots else [*searched, host]
    return list(dict.fromkeys(ordered))


def next_lookup(ttl: Optional[float], refresh: float) -> float:
    """Return the seconds until a name is looked up again.

    :param ttl: what the answer said; None where nobody says (a hosts file, the system's own resolving).
    :param refresh: the longest that an answer is used.
    """
    if ttl is None:
        return refresh
    return min(max(ttl, SHORTEST_TTL), max(refresh, SHORTEST_TTL))
