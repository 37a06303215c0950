"""Resources of the bus as they are offered to a sidecar, and what is said of those that are refused."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

import msgspec

from twisted_mesh.errors import Problem
from twisted_mesh.model.base import check_name
from twisted_mesh.model.text import expected

SECTIONS = ("listeners", "routes", "clusters")
# What the path of a problem begins with; a name with points in it stands in quotes there.
_OWNER = re.compile(rf'({"|".join(SECTIONS)})\.("[^"]*"|[A-Za-z0-9_-]+)')


class Stored(Protocol):
    """A resource as the bus keeps it."""

    @property
    def name(self) -> str:
        """As in ``clusters/web``."""

    @property
    def version(self) -> int:
        """The version of the mesh at which it changed."""

    @property
    def body(self) -> bytes:
        """What stands below its name in a file, as JSON."""

    @property
    def value(self) -> Any:
        """The same, decoded.

        :raises ValueError: it is no JSON.
        """


class Offer(NamedTuple):
    """A resource of the bus, for whoever has no other `Stored`."""

    name: str
    version: int
    body: bytes

    @classmethod
    def of(cls, name: str, version: int, value: Any) -> Offer:
        """Return one that holds a plain value."""
        return cls(name, version, msgspec.json.encode(value))

    @property
    def value(self) -> Any:
        """The value, decoded anew each time.

        :raises ValueError: it is no JSON.
        """
        return msgspec.json.decode(self.body)


class Refusal(NamedTuple):
    """A change that was refused: what is in force under that name is what was before.

    `deleted` says that the change was the end of the resource; `version` is then the one that it had.
    """

    name: str
    version: int
    problems: tuple[Problem, ...]
    deleted: bool = False

    @property
    def reason(self) -> str:
        """Why, in one line."""
        why = "; ".join(str(each) for each in self.problems)
        return f"deleted, but still needed: {why}" if self.deleted else why

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def check_resource(name: str) -> None:
    """Check that `name` can be one of a resource on the bus.

    :raises ValueError: it cannot.
    """
    section, _, own = name.partition("/")
    if section not in SECTIONS:
        raise expected("listeners/NAME, routes/NAME or clusters/NAME", name)
    check_name(own)


def owner_of(problem: Problem) -> str:
    """Return the name of the resource that a problem stands in; "" if it stands in none."""
    # What shows only when it is applied has its place where others have a file.
    found = _OWNER.match(problem.path) or _OWNER.match(problem.file)
    if found is None:
        # A resource whose name is none has its whole name there.
        return problem.path
    return f"{found[1]}/{found[2].strip(chr(34))}"
