"""Finding the first of many matches that is for a call without looking at each.

What is looked up is the host and the path: exact hosts, ``*.suffix`` and ``prefix.*``, exact paths, prefixes, and the
literal part in front of templates; for Redis the whole key, and its beginnings.  That leaves the few matches that may
be for the call, and these are tried by their whole test, in such an order that the result is the one of looking at each
from the first to the last.  Expressions, and matches that say nothing of the path, are tried for every call of their
host.
"""

from __future__ import annotations

from typing import Generic, Optional, TypeVar

from twisted_mesh.policy.glob import Glob
from twisted_mesh.policy.hosts import sorted_hosts
from twisted_mesh.policy.match import Asked, Conditions, Test
from twisted_mesh.policy.template import Template

T = TypeVar("T")
_Entry = tuple[int, Optional[Test], T]


class _Paths(Generic[T]):
    """The entries of one host, by path; each list in the order of the matches."""

    __slots__ = ("beginnings", "exact", "longest", "other", "prefixes")

    def __init__(self) -> None:
        self.exact: dict[str, list[_Entry[T]]] = {}
        # By the prefix without a slash at its end.
        self.prefixes: dict[str, list[_Entry[T]]] = {}
        self.longest = 0
        # Beginnings of keys, by their length: there are few lengths, however many there are.
        self.beginnings: dict[int, dict[str, list[_Entry[T]]]] = {}
        self.other: list[_Entry[T]] = []

    def add(self, conditions: Conditions, entry: _Entry[T]) -> None:
        exact, prefix = conditions.exact, conditions.prefix
        if conditions.template is not None:
            template = Template(conditions.template)
            exact, prefix = (None, template.literal) if template.literal != template.text else (template.text, None)
        if conditions.key_exact is not None:
            exact = conditions.key_exact
        beginning = conditions.key_prefix or (conditions.key_glob and Glob(conditions.key_glob).literal)
        if exact is not None:
            self.exact.setdefault(exact, []).append(entry)
        elif prefix is not None:
            key = prefix.removesuffix("/")
            self.prefixes.setdefault(key, []).append(entry)
            self.longest = max(self.longest, len(key))
        elif beginning:
            self.beginnings.setdefault(len(beginning), {}).setdefault(beginning, []).append(entry)
        else:
            self.other.append(entry)

    def lists(self, path: str) -> list[list[_Entry[T]]]:
        """Return the lists whose entries may match, those that are likely to decide first."""
        found = []
        exact = self.exact.get(path)
        if exact is not None:
            found.append(exact)
        prefixes = self.prefixes
        if prefixes:
            # No prefix is longer than this, so that a long path costs no more than a short one.
            longest = self.longest
            at = path.find("/", 0, longest + 1)
            while at >= 0:
                beginning = prefixes.get(path[:at])
                if beginning is not None:
                    found.append(beginning)
                at = path.find("/", at + 1, longest + 1)
            if len(path) <= longest:
                whole = prefixes.get(path)
                if whole is not None:
                    found.append(whole)
        for length, beginnings in self.beginnings.items():
            entries = beginnings.get(path[:length])
            if entries is not None:
                found.append(entries)
        if self.other:
            found.append(self.other)
        return found


class Index(Generic[T]):
    """Matches in their order, and what each leads to."""

    __slots__ = ("_any", "_count", "_longest_host", "_names", "_prefixes", "_suffixes")

    def __init__(self) -> None:
        self._count = 0
        self._any: _Paths[T] = _Paths()
        self._names: dict[str, _Paths[T]] = {}
        self._suffixes: dict[str, _Paths[T]] = {}
        self._prefixes: dict[str, _Paths[T]] = {}
        self._longest_host = 0

    def __len__(self) -> int:
        return self._count

    def add(self, conditions: Conditions, test: Optional[Test], value: T) -> None:
        """Add a match behind all others.

        :param test: what `compile_match` makes of the conditions; None for every call.
        :param conditions: that test lets nothing pass for which these do not hold.  Fewer of them cost time only.
        """
        entry = (self._count, test, value)
        self._count += 1
        if not conditions.hosts or "*" in conditions.hosts:
            self._any.add(conditions, entry)
            return
        names, suffixes, prefixes = sorted_hosts(conditions.hosts)
        for table, keys in ((self._names, names), (self._suffixes, suffixes), (self._prefixes, prefixes)):
            # Each once, although it may be written twice.
            for key in dict.fromkeys(keys):
                table.setdefault(key, _Paths()).add(conditions, entry)
        self._longest_host = max(self._longest_host, 0, *map(len, (*suffixes, *prefixes)))

    def find(self, asked: Asked) -> Optional[T]:
        """Return what the first match that is for this call leads to; None if none is."""
        path = asked.resource
        found: Optional[T] = None
        best = self._count
        for paths in self._hosts(asked.host):
            for entries in paths.lists(path):
                for order, test, value in entries:
                    if order >= best:
                        break
                    if test is None or test(asked):
                        best, found = order, value
                        break
        return found

    def every(self, asked: Asked) -> list[T]:
        """Return what all matches that are for this call lead to, in any order."""
        found = []
        for paths in self._hosts(asked.host):
            for entries in paths.lists(asked.resource):
                found += [value for _, test, value in entries if test is None or test(asked)]
        return found

    def _hosts(self, host: str) -> list[_Paths[T]]:
        found = []
        named = self._names.get(host)
        if named is not None:
            found.append(named)
        longest = self._longest_host
        if longest:
            self._partial(host, longest, found)
        found.append(self._any)
        return found

    def _partial(self, host: str, longest: int, found: list[_Paths[T]]) -> None:
        """Add those for the beginnings and the ends of a host, which are looked up at its dots."""
        at = host.find(".", max(len(host) - longest, 1))
        while at > 0:
            ending = self._suffixes.get(host[at:])
            if ending is not None:
                found.append(ending)
            at = host.find(".", at + 1)
        at = host.find(".", 1, longest)
        while at > 0:
            beginning = self._prefixes.get(host[: at + 1])
            if beginning is not None:
                found.append(beginning)
            at = host.find(".", at + 1, longest)
