"""When enough sidecars have the same opinion of an endpoint for the others to take it over."""

from __future__ import annotations

from typing import Iterable, Mapping, NamedTuple

# Sidecars that are named; of the rest it is said how many they are.
NAMED = 3


class Opinion(NamedTuple):
    """What one sidecar says: `endpoint` is left out there, `left` seconds more, by a rule of some `kind`.

    `sidecar` tells it from all others, `node` is its name for people; `mark` differs each time that it says so anew.
    """

    sidecar: str
    node: str
    endpoint: str
    kind: str
    reason: str
    left: float
    mark: str


class Agreement(NamedTuple):
    """Enough of them say so: for `left` seconds more, which is as long as that many do; `marks` are theirs."""

    endpoint: str
    kind: str
    reason: str
    left: float
    marks: frozenset[str]


def agreements(opinions: Iterable[Opinion], least: Mapping[str, int]) -> list[Agreement]:
    """Return what is agreed on.

    :param least: by kind, how many sidecars are enough; a kind that is missing is nobody's business.
    """
    about: dict[tuple[str, str], dict[str, Opinion]] = {}
    for each in opinions:
        if each.left <= 0 or each.kind not in least:
            continue
        known = about.setdefault((each.endpoint, each.kind), {})
        # One sidecar has one voice.
        if each.sidecar not in known or known[each.sidecar].left < each.left:
            known[each.sidecar] = each
    found = []
    for (endpoint, kind), voices in about.items():
        if len(voices) >= least[kind]:
            found.append(_agreement(endpoint, kind, list(voices.values()), least[kind]))
    return found


def _agreement(endpoint: str, kind: str, voices: list[Opinion], least: int) -> Agreement:
    voices.sort(key=lambda each: -each.left)
    names = sorted(each.node for each in voices)
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    reason = f"learnt from {shown}: {voices[0].reason}"
    return Agreement(endpoint, kind, reason, voices[least - 1].left, frozenset(each.mark for each in voices))
