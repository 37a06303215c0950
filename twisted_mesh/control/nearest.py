"""Which name was probably meant."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from functools import partial
from itertools import takewhile
from typing import Iterable

# Longer lists of names help nobody, and comparing with very many takes long.
_LISTED = 20
_COMPARED = 2000
_NEAR = 5
_LAST_WORD = 0.85


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "NAME"?``, or nothing where no known name is like it."""
    names = [each for each in known if each != name][:_COMPARED]
    if len(name) > 100:
        return ""
    near = get_close_matches(name, names, n=_NEAR, cutoff=0.6)
    # The last word says what it is: hash_tag, as others call it, is a tag and no hash.
    near += [each for each in names if name.endswith(f"_{each}") and each not in near]
    return f'; did you mean "{max(near, key=partial(_likeness, name))}"?' if near else ""


def _likeness(name: str, other: str) -> float:
    """How alike two names are, up to 1; those that begin alike more so, as Winkler has it for Jaro's measure."""
    ratio = SequenceMatcher(None, other, name).ratio()
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name[:4], other)))
    ratio += 0.1 * alike * (1.0 - ratio)
    return max(ratio, _LAST_WORD) if name.endswith(f"_{other}") else ratio


def did_you_mean_or_list(name: str, known: Iterable[str]) -> str:
    """Return `did_you_mean`, or the known names where none is like it."""
    names = sorted(known)
    if near := did_you_mean(name, names):
        return near
    if not names:
        return "; there are none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; known are {', '.join(names[:_LISTED])}{more}"
