"""Which sidecars try a new version first, and when it has failed.

Each sidecar has a place between 0 and 1 that follows from its id and from nothing else.  A canary has a bound: those at
or below it belong.  So a sidecar stays on its side for as long as the canary lasts, restarts included, and a greater
share has those of a smaller one and more.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil
from typing import Iterable

# Twelve digits: a bound is written as text by whatever writes JSON, and some keep fourteen.
_PLACES = 10**12


def place(node: str) -> float:
    """Return where a sidecar stands, at least 0 and below 1, the same in every process and version."""
    digest = blake2b(node.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return int.from_bytes(digest, "big") % _PLACES / _PLACES


def bound_for(share: float, nodes: Iterable[str]) -> float:
    """Return the bound that gives this share (0 to 1) of `nodes`, rounded up: of three, 10 % is one.

    Those who join later belong with about that likelihood.  With no nodes the bound is the share.
    """
    places = sorted(place(each) for each in nodes)
    if not places or share <= 0.0:
        return share
    wanted = min(len(places), ceil(share * len(places) - 1e-9))
    if wanted == len(places):
        return 1.0
    return places[wanted - 1]


def belongs(node: str, bound: float) -> bool:
    """Whether a sidecar is among the canaries."""
    return place(node) <= bound


def too_many_errors(
    calls: float, errors: float, other_calls: float, other_errors: float, *, margin: float, least_calls: float
) -> bool:
    """Whether the canaries' share of failed calls exceeds the others' by more than `margin` (0.05: five in a hundred).

    Nothing is judged by fewer than `least_calls` calls of the canaries.  Others without calls count as without errors:
    who cannot be compared with is no excuse.
    """
    if calls < max(least_calls, 1.0):
        return False
    others = other_errors / other_calls if other_calls > 0 else 0.0
    return errors / calls > others + margin
