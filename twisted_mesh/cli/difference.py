"""What would change, and how that is shown."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Optional

from twisted_mesh.bus.resource import Draft, Resource
from twisted_mesh.cli.linediff import unified
from twisted_mesh.cli.output import plain
from twisted_mesh.cli.yamltext import draft_of, text_of


class Difference(NamedTuple):
    """One resource before and after; None where it is not there. `version` is the one that it has before."""

    name: str
    before: Optional[Draft]
    after: Optional[Draft]
    version: int = 0

    @property
    def what(self) -> str:
        """``added``, ``changed`` or ``deleted``."""
        if self.before is None:
            return "added"
        return "deleted" if self.after is None else "changed"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "change": self.what,
            "version": self.version,
            "before": _as_json(self.before),
            "after": _as_json(self.after),
        }

    def text(self) -> str:
        """Return it as people read it: the lines that differ, and some round them."""
        before = f"{self.name} version {self.version}" if self.before is not None else "nothing"
        after = self.name if self.after is not None else "nothing"
        old, new = (text_of(self.name, each).splitlines() for each in (self.before, self.after))
        lines = unified(old, new, before, after)
        return "\n".join(plain(each) for each in lines)


def _as_json(draft: Optional[Draft]) -> Optional[dict[str, Any]]:
    return None if draft is None else {"value": draft.value, "select": draft.select}


def differences(before: Mapping[str, Resource], after: Mapping[str, Optional[Draft]]) -> list[Difference]:
    """Return what differs between the resources there are and what they shall be; those not named stay."""
    found = []
    for name, draft in after.items():
        resource = before.get(name)
        known = None if resource is None else readable(resource)
        if resource is not None and draft is not None and same(known, draft):
            continue
        if resource is not None or draft is not None:
            version = 0 if resource is None else resource.version
            found.append(Difference(name, known, draft, version))
    return found


def readable(resource: Resource) -> Draft:
    """Return a resource as a draft, also one that nobody can read."""
    try:
        return draft_of(resource)
    except ValueError as error:
        return Draft(str(error), None)


def same(one: Optional[Draft], other: Optional[Draft]) -> bool:
    """Whether two say the same."""
    if one is None or other is None:
        return one is other
    return bool(one.value == other.value) and (one.select or None) == (other.select or None)


def shown(found: Iterable[Difference]) -> str:
    """Return all of them as text."""
    return "\n".join(each.text() for each in found)
