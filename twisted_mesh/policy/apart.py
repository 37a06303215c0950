"""Which commands of Redis must not travel together, as the matches of routes may tell them apart.

Commands that come in one read go as one call where nobody can tell the difference, and a call has one route.  All else
that a match asks for (addresses, identities, ports) is the same for all commands of a client.
"""

from __future__ import annotations

from typing import Callable, Hashable, Optional, cast

from twisted_mesh.policy.index import Index
from twisted_mesh.policy.match import Asked, Conditions, Test, compile_match

Apart = Callable[[str, Optional[bytes]], Hashable]
"""Returns what commands must have in common to travel together, of a command's name and its key."""

# Looking at each of so many is faster than an index.
FEW = 8


class _Command:
    """What tests of keys and commands look at, and the index."""

    __slots__ = ("host", "operation", "resource")

    def __init__(self) -> None:
        self.host = self.operation = self.resource = ""


def by_key(name: str, key: Optional[bytes]) -> Hashable:
    """Keep commands with different keys apart: for what sends each key to a place of its own."""
    return key


class Matches:
    """Keeps commands apart for which different ones of these matches hold, as far as they ask for commands and keys.

    They are added in their order, before the first command is looked at.
    """

    __slots__ = ("_asked", "_command", "_count", "_few", "_index", "_whole")

    def __init__(self) -> None:
        self._few: list[Test] = []
        self._index: Index[int] = Index()
        self._count = 0
        # Whether one of them takes everything: those behind it decide nothing.
        self._whole = False
        self._command = _Command()
        self._asked = cast("Asked", self._command)

    def __len__(self) -> int:
        """How many of them ask for commands or keys."""
        return self._count

    def add(self, match: Conditions) -> None:
        """Add one behind all others."""
        own = Conditions(
            methods=match.methods,
            key_exact=match.key_exact,
            key_prefix=match.key_prefix,
            key_glob=match.key_glob,
            key_regex=match.key_regex,
        )
        test = None if self._whole else compile_match(own)
        if test is None:
            self._whole = self._whole or match == own
            return
        self._index.add(own, test, self._count)
        self._count += 1
        if self._count <= FEW:
            self._few.append(test)

    def __call__(self, name: str, key: Optional[bytes]) -> Hashable:
        command, asked = self._command, self._asked
        command.operation = name
        command.resource = "" if key is None else key.decode("utf-8", "surrogateescape")
        if self._count <= FEW:
            return tuple([test(asked) for test in self._few])
        return frozenset(self._index.every(asked))
