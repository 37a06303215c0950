"""Which name was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Iterable

# Longer lists of names help nobody, and comparing with very many takes long.
_LISTED = 20
_COMPARED = 2000


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "NAME"?``, or nothing where no known name is like it."""
    names = [each for each in known if each != name][:_COMPARED]
    if len(name) > 100:
        return ""
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def did_you_mean_or_list(name: str, known: Iterable[str]) -> str:
    """Return `did_you_mean`, or the known names where none is like it."""
    names = sorted(known)
    if near := did_you_mean(name, names):
        return near
    if not names:
        return "; there are none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; known are {', '.join(names[:_LISTED])}{more}"
