"""Patterns of hosts, sorted by how they are looked up."""

from __future__ import annotations

from typing import NamedTuple, Sequence


class Hosts(NamedTuple):
    """Whole names, what names below ``*.shop.example`` end in (``.shop.example``), and what ``shop.*`` begins with."""

    names: frozenset[str]
    suffixes: tuple[str, ...]
    prefixes: tuple[str, ...]


def sorted_hosts(hosts: Sequence[str]) -> Hosts:
    """Sort patterns, none of which is ``*``.  Case and ports do not matter."""
    plain = [_without_port(each.lower()) for each in hosts]
    return Hosts(
        frozenset(form for each in plain if "*" not in each for form in _forms(each)),
        tuple(each[1:] for each in plain if each.startswith("*.")),
        tuple(each[:-1] for each in plain if each.endswith(".*")),
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        return name
    return host


def _forms(host: str) -> tuple[str, ...]:
    """An IPv6 host may be written with its brackets or without."""
    bare = host.strip("[]")
    return (bare, f"[{bare}]") if ":" in bare else (host,)
