"""The local file as the base, and what the bus has over it.

A resource of the bus (``clusters/web``) stands for the one of the same name in the file, as a whole.  What is wrong in
one of them takes down no other: the resource is refused, and what was in force under its name stays.  So is a change
that is right by itself and does not fit what stands beside it, as a route to a cluster that was refused, or the end of
a cluster that a route still needs.  Only what is wrong in the file itself refuses the whole.

The sidecar and `meshctl apply` both call `merge`, so that they say the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Optional

from twisted_mesh.control.load import checked
from twisted_mesh.control.offers import SECTIONS, Refusal, Stored, check_resource, owner_of
from twisted_mesh.control.planted import Planting, Substitute
from twisted_mesh.control.tree import Mark, Table
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config
from twisted_mesh.model.scalars import Text
from twisted_mesh.model.text import describe

SHORTEST_SECRET = 4


class Merged(NamedTuple):
    """A configuration that is right.

    `in_force` holds the resources that came from the bus, by name: the offered ones, and those before them where the
    offered ones were refused.  It is the `good` of the next merge.
    """

    config: Config
    in_force: dict[str, Stored]
    refused: list[Refusal]


def merge(
    base: Table,
    offers: Mapping[str, Stored],
    good: Optional[Mapping[str, Stored]] = None,
    substitute: Optional[Substitute] = None,
) -> Merged:
    """Put what the bus offers over the file, as far as it is right.

    :param base: the tree of the file; may be changed where it is wrong.
    :param offers: every resource that the bus has for this sidecar, by name.
    :param good: `Merged.in_force` of the time before.
    :param substitute: what replaces ``${NAME}`` and ``file:PATH``; without it, texts are taken as they are written.
    :raises ConfigError: the file is wrong, or what was in force does not fit it.
    """
    return _Merging(base, offers, good or {}, substitute).result()


class _Merging:
    def __init__(
        self, base: Table, offers: Mapping[str, Stored], good: Mapping[str, Stored], substitute: Optional[Substitute]
    ) -> None:
        self._base = base
        self._offers = offers
        self._good = good
        self._substitute = substitute
        # What stands for each name: a resource of the bus, or None for the file's own, if it has one.
        self._choices: dict[str, Optional[Stored]] = {**dict.fromkeys(good), **offers}
        self._refused: dict[str, Refusal] = {}
        # What was written for what came from the environment or a file.
        self._written: dict[str, str] = {}

    def result(self) -> Merged:
        while True:
            try:
                config = self._checked()
            except ConfigError as error:
                # Each round takes a resource back to what it was before, which it does twice at the most.
                if not self._step_back(error.problems):
                    raise
            else:
                in_force = {name: each for name, each in self._choices.items() if each is not None}
                return Merged(config, in_force, sorted(self._refused.values()))

    # --- one look at the whole

    def _checked(self) -> Config:
        tree, problems = self._tree()
        try:
            config = checked(tree)
        except ConfigError as error:
            # What follows from a value that could not be read says nothing new.
            unread = {owner_of(each) for each in problems}
            more = [each for each in error.problems if owner_of(each) not in unread]
            raise ConfigError(sorted({*problems, *more})) from None
        if problems:
            raise ConfigError(problems)
        return config

    def _tree(self) -> tuple[Table, list[Problem]]:
        """Return the whole as a tree, and what is wrong before anything is checked."""
        tree = _copy(self._base)
        problems: list[Problem] = []
        for name, stored in sorted(self._choices.items(), key=lambda each: self._is_changed(each[0])):
            if stored is None:
                continue
            section, _, own = name.partition("/")
            try:
                check_resource(name)
            except ValueError as error:
                problems.append(Problem(_place(stored), 0, 0, name, str(error)))
                continue
            if section not in tree:
                tree.put(section, Mark("bus", 0, 0), Table(Mark("bus", 0, 0, tree.mark, section)), tree.mark)
            table = tree[section]
            if isinstance(table, Table):
                value, mark, wrong = self._plant(stored, table.mark, own)
                problems += wrong
                # What has changed comes last: of two listeners with one address the later one has the problem.
                table.pop(own, None)
                table.put(own, mark, value, mark)
        return tree, problems

    def _plant(self, stored: Stored, parent: Mark, own: str) -> tuple[Any, Mark, list[Problem]]:
        planting = Planting(_place(stored), self._substitute)
        mark = planting.mark(parent, own)
        try:
            value = stored.value
        except ValueError as error:
            return None, mark, [mark.problem(f"not JSON: {error}")]
        tree = planting.value(value, mark)
        self._written.update(planting.written)
        return tree, mark, planting.problems

    # --- whose fault it is

    def _step_back(self, problems: list[Problem]) -> bool:
        """Take back what is to blame; returns whether there was something to take back."""
        by_owner: dict[str, list[Problem]] = {}
        for each in problems:
            by_owner.setdefault(owner_of(each), []).append(each)
        stepped = False
        for owner, found in by_owner.items():
            if self._is_changed(owner):
                self._take_back(owner, found)
                stepped = True
        if stepped:
            return True
        for owner, found in by_owner.items():
            for name in self._blamed(owner):
                self._take_back(name, found)
                stepped = True
        return stepped

    def _is_changed(self, name: str) -> bool:
        """Whether what stands for a name now is not what stood for it before."""
        if name not in self._choices:
            return False
        chosen, before = self._choices[name], self._good.get(name)
        if chosen is None or before is None:
            return chosen is not before
        return (chosen.version, chosen.body) != (before.version, before.body)

    def _take_back(self, name: str, problems: Iterable[Problem]) -> None:
        chosen = self._choices[name]
        offer = self._offers.get(name)
        about = offer or chosen or self._good[name]
        if name not in self._refused:
            self._refused[name] = Refusal(name, about.version, tuple(map(self._as_written, problems)), offer is None)
        self._choices[name] = self._good.get(name)

    def _as_written(self, problem: Problem) -> Problem:
        """Reasons go to the bus, so that they must not show what the bus only refers to."""
        message = problem.message
        for value, text in self._written.items():
            message = message.replace(describe(value), describe(text))
            # What is shorter is no secret, and stands in words by chance.
            if len(value) >= SHORTEST_SECRET:
                message = message.replace(value, text)
        return problem if message == problem.message else replace(problem, message=message)

    def _blamed(self, owner: str) -> list[str]:
        """Return the changes that broke a resource which has not changed itself."""
        changed = [each for each in self._choices if each != owner and self._is_changed(each)]
        own = owner.partition("/")[2]
        mentioned = set(_texts(self._value(owner)))
        gone = [each for each in changed if self._choices[each] is None and each.partition("/")[2] in mentioned]
        if gone:
            return gone
        return [
            each for each in changed if each.partition("/")[2] in mentioned or own in set(_texts(self._value(each)))
        ]

    def _value(self, name: str) -> Any:
        chosen = self._choices.get(name)
        if chosen is not None:
            try:
                return chosen.value
            except ValueError:
                return None
        section, _, own = name.partition("/")
        table = self._base.get(section)
        return table.get(own) if isinstance(table, Table) else None


def _place(stored: Stored) -> str:
    return f"bus version {stored.version}"


def _copy(base: Table) -> Table:
    """Return a copy of a tree to which resources can be added."""
    tree = Table(base.mark)
    for name, value in base.items():
        own = _copy_section(value) if name in SECTIONS and isinstance(value, Table) else value
        tree.put(name, base.names[name], own, base.marks[name])
    return tree


def _copy_section(table: Table) -> Table:
    copy = Table(table.mark)
    for key, each in table.items():
        copy.put(key, table.names[key], each, table.marks[key])
    return copy


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, keys too."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, (str, Text)):
        yield str(value)
