"""Which sidecars a resource of the bus is for.

A selector is a mapping: ``{service: web, zone: [a, b], labels: {tier: edge}}``.  All conditions that are given must
hold; of a list, one.  A text that ends in ``*`` stands for everything that begins so.  ``group: NAME`` takes the
conditions of the resource ``groups/NAME``, whose value is a selector without a group.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence

CONDITIONS = ("node", "service", "zone", "labels", "group")

Groups = Mapping[str, Any]
"""Selectors by the name of their group, as they are written."""
NO_GROUPS: Groups = {}


class Who(NamedTuple):
    """What a selector looks at: one sidecar."""

    node: str
    service: str = ""
    zone: str = ""
    labels: Mapping[str, str] = {}


class Selector(NamedTuple):
    """A selector that was checked; an empty tuple of texts matches everything."""

    node: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    group: Optional[Selector] = None

    def matches(self, who: Who) -> bool:
        """Whether this sidecar is meant."""
        return (
            _one_of(self.node, who.node)
            and _one_of(self.service, who.service)
            and _one_of(self.zone, who.zone)
            and all(key in who.labels and _one_of(wanted, who.labels[key]) for key, wanted in self.labels)
            and (self.group is None or self.group.matches(who))
        )

    @property
    def conditions(self) -> int:
        """How many conditions it makes: of two that match, the one with more is meant more."""
        own = bool(self.node) + bool(self.service) + bool(self.zone) + len(self.labels)
        return own + (0 if self.group is None else self.group.conditions)


EVERYONE = Selector()


def parse_selector(value: Any, groups: Groups = NO_GROUPS) -> Selector:
    """Return the selector that `value` writes; None is for everyone.

    :raises ValueError: one line that says what is wrong, where in the selector, and what would be right.
    """
    if value is None:
        return EVERYONE
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of {', '.join(CONDITIONS)}, got {value!r}")
    for each in value:
        if each not in CONDITIONS:
            raise ValueError(f"unknown condition {each!r}; known are {', '.join(CONDITIONS)}")
    return Selector(
        node=_texts("node", value.get("node")),
        service=_texts("service", value.get("service")),
        zone=_texts("zone", value.get("zone")),
        labels=_labels(value.get("labels")),
        group=_group(value.get("group"), groups),
    )


def parse_group(value: Any) -> Selector:
    """Return the selector that is the value of a resource ``groups/NAME``.

    :raises ValueError: as `parse_selector` does; a group may not name another one, and must say something.
    """
    if isinstance(value, Mapping) and "group" in value:
        raise ValueError("group: a group cannot be made of another one")
    found = parse_selector(value)
    if found == EVERYONE:
        raise ValueError("expected at least one of node, service, zone, labels: a group of everyone needs no group")
    return found


def _group(name: Any, groups: Groups) -> Optional[Selector]:
    if name is None:
        return None
    if not isinstance(name, str):
        raise ValueError(f"group: expected the name of a group, got {name!r}")
    if name not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise ValueError(f"group: there is no resource groups/{name}; groups are: {known}")
    try:
        return parse_group(groups[name])
    except ValueError as error:
        raise ValueError(f"group: groups/{name}: {error}") from None


def _labels(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"labels: expected a mapping of names to values, got {value!r}")
    return tuple(sorted((_name(key), _texts(f"labels.{key}", wanted)) for key, wanted in value.items()))


def _name(key: Any) -> str:
    if not isinstance(key, str) or not key:
        raise ValueError(f"labels: expected the name of a label, got {key!r}")
    return key


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if value is None and not where.startswith("labels."):
        return ()
    values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    if not values or not all(isinstance(each, str) and each for each in values):
        raise ValueError(f"{where}: expected a text or a list of texts, got {value!r}")
    return tuple(values)


def _one_of(wanted: Sequence[str], text: str) -> bool:
    return not wanted or any(text.startswith(each[:-1]) if each.endswith("*") else text == each for each in wanted)
