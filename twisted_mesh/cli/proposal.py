"""What is to be written to the bus, as read from files, and checked as a sidecar checks it.

A file is a piece of a configuration, with `listeners`, `routes`, `clusters` and `groups` of it, and perhaps `select`,
which says for which sidecars all of the file is.  Texts keep their ``${NAME}`` and ``file:PATH``: each sidecar puts in
its own values.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import Any, Callable, Collection, Iterator, Mapping, NamedTuple, Optional, Sequence

from twisted_mesh.bus.resource import Draft, Resource, base_name, check_name
from twisted_mesh.control.load import Files, checked, read_files, tree_of
from twisted_mesh.control.offers import SECTIONS
from twisted_mesh.control.planted import Planting
from twisted_mesh.control.references import missing_references
from twisted_mesh.control.tree import Mark, Table
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model.scalars import plain
from twisted_mesh.model.text import describe
from twisted_mesh.policy.selector import Selector, parse_group, parse_selector

KINDS = (*SECTIONS, "groups")
_MISSING = re.compile(r'there is no (cluster|routing table) "(.*?)"')
_STAND_INS: Mapping[str, tuple[str, Any]] = {
    "cluster": ("clusters", {"endpoints": ["127.0.0.1:1"]}),
    "routing table": ("routes", [{"reply": {}}]),
}


class Written(NamedTuple):
    """One resource as it stands in a file."""

    name: str
    draft: Draft
    name_mark: Mark
    tree: Any
    mark: Mark
    select_mark: Optional[Mark] = None


class Lenient(dict[str, str]):
    """The environment of the sidecars, as far as it is known here: what is not stays as it is written."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"${{{name}}}"


def read(paths: Sequence[str], env: Mapping[str, str]) -> list[Written]:
    """Return the resources in files, or in the files of directories; ``-`` is standard input.

    :raises ConfigError: something cannot be read, or does not belong on the bus.
    """
    problems: list[Problem] = []
    found: dict[str, Written] = {}
    for path in paths:
        for file, text in _texts(path, problems):
            for each in _resources(file, text, env, problems):
                if each.name in found:
                    problems.append(each.name_mark.problem(f"given twice; first at {found[each.name].name_mark}"))
                found.setdefault(each.name, each)
    if not found and not problems:
        problems.append(Problem(", ".join(paths), 0, 0, "", f"nothing to apply: expected {', '.join(KINDS)}"))
    if problems:
        try:
            _check_sections(list(found.values()), {}, None, env)
        except ConfigError as error:
            problems += error.problems
        raise ConfigError(sorted(set(problems)))
    return list(found.values())


def _texts(path: str, problems: list[Problem]) -> Sequence[tuple[str, Optional[str]]]:
    if path == "-":
        return [("<stdin>", sys.stdin.read())]
    files = read_files(path)
    problems += files.problems
    return [each for each in files.texts if each[1] is not None]


def _resources(file: str, text: Optional[str], env: Mapping[str, str], problems: list[Problem]) -> Iterator[Written]:
    """Yield the resources of one file."""
    try:
        written = tree_of(Files(file, ((file, text),)), None)
        tree = _substituted(file, text, env) or written
    except ConfigError as error:
        problems += error.problems
        return
    for key in tree:
        if key not in (*KINDS, "select"):
            problems.append(
                tree.names[key].problem(
                    f"expected one of {', '.join(KINDS)} and select; the rest is no matter of the bus"
                )
            )
    select = plain(written.get("select"))
    if select is not None:
        # Whether there is such a group, the bus knows.
        ungrouped = (
            {key: each for key, each in select.items() if key != "group"} if isinstance(select, dict) else select
        )
        _selected(lambda: parse_selector(ungrouped), tree.marks["select"], problems)
    for kind in KINDS:
        table = tree.get(kind)
        if table is None and kind not in tree:
            continue
        if not isinstance(table, Table):
            problems.append(tree.marks[kind].problem(f"expected names with values, got {describe(table)}"))
            continue
        for own, value in table.items():
            draft = Draft(plain(written[kind][own]), None if kind == "groups" else select)
            if kind == "groups":
                _selected(partial(parse_group, draft.value), table.marks[own], problems)
            try:
                check_name(f"{kind}/{own}")
            except ValueError as error:
                problems.append(table.names[own].problem(str(error)))
            yield Written(f"{kind}/{own}", draft, table.names[own], value, table.marks[own], tree.marks.get("select"))


def _selected(parse: Callable[[], Selector], mark: Mark, problems: list[Problem]) -> None:
    try:
        parse()
    except ValueError as error:
        problems.append(mark.problem(str(error)))


def _substituted(file: str, text: Optional[str], env: Mapping[str, str]) -> Optional[Table]:
    """Return the tree with what is known here put in; None if a file that is named is not here, but with sidecars."""
    if text is None or not ("${" in text or "file:" in text):
        return None
    try:
        return tree_of(Files(file, ((file, text),)), Lenient(env))
    except ConfigError:
        return None


def check(
    proposed: Sequence[Written], stored: Mapping[str, Resource], base: Optional[str], env: Mapping[str, str]
) -> list[str]:
    """Check what is proposed together with what is stored.

    :param base: the path of a sidecar's own configuration, to check all of it as that sidecar will; without it what is
        referred to and not on the bus is taken to stand there.
    :returns: what sidecars must have in their own files.
    :raises ConfigError: it is wrong.
    """
    problems = _without_group(proposed, stored)
    try:
        warnings = _check_sections(proposed, stored, base, env)
    except ConfigError as error:
        raise ConfigError(sorted({*problems, *error.problems})) from None
    if problems:
        raise ConfigError(problems)
    return warnings


def _check_sections(
    proposed: Sequence[Written], stored: Mapping[str, Resource], base: Optional[str], env: Mapping[str, str]
) -> list[str]:
    warnings: list[str] = []
    for some in _rounds([each for each in proposed if not each.name.startswith("groups/")]):
        warnings += [each for each in _check(some, stored, base, env) if each not in warnings]
    return warnings


def _without_group(proposed: Sequence[Written], stored: Mapping[str, Resource]) -> list[Problem]:
    """Return what selects a group that is not there; groups are on the bus and nowhere else."""
    ours = {each.name: each.draft.value for each in proposed}
    there = {name: _value_of(each) for name, each in stored.items()}
    groups = {name[len("groups/") :]: each for name, each in {**there, **ours}.items() if name.startswith("groups/")}
    problems: list[Problem] = []
    for each in proposed:
        if each.select_mark is not None and each.draft.select is not None:
            _selected(partial(parse_selector, each.draft.select, groups), each.select_mark, problems)
    return sorted(set(problems))


def _rounds(proposed: Sequence[Written]) -> Iterator[list[Written]]:
    """Yield them such that no two variants of one resource are in one round."""
    left = list(proposed)
    while left:
        some = {base_name(each.name): each for each in reversed(left)}
        yield [each for each in left if some[base_name(each.name)] is each]
        left = [each for each in left if some[base_name(each.name)] is not each]


def _check(
    some: Sequence[Written], stored: Mapping[str, Resource], base: Optional[str], env: Mapping[str, str]
) -> list[str]:
    tree = Table(Mark("the bus", 0, 0)) if base is None else tree_of(read_files(base), env)
    ours = {each.mark.file for each in some}
    replaced = {base_name(each.name) for each in some}
    for resource in stored.values():
        if resource.base not in replaced and resource.base.partition("/")[0] in SECTIONS:
            _plant(tree, resource.base, f"bus version {resource.version}", _value_of(resource))
    for each in some:
        kind, _, own = base_name(each.name).partition("/")
        section = _section(tree, kind)
        section.pop(own, None)
        section.put(own, each.name_mark, each.tree, each.mark)
    missing = [] if base is not None else _stand_in(tree, ours)
    try:
        checked(tree)
    except ConfigError as error:
        # What was wrong on the bus before is not the fault of what is proposed.
        found = [each for each in error.problems if each.file in ours or base is not None]
        if found:
            raise ConfigError(found) from None
    return missing


def missed(stored: Mapping[str, Resource], names: Collection[str]) -> list[str]:
    """Return what sidecars must have in their own files once these resources are deleted from the bus."""
    tree = Table(Mark("the bus", 0, 0))
    for resource in stored.values():
        if resource.name not in names and resource.base.partition("/")[0] in SECTIONS:
            _plant(tree, resource.base, resource.name, _value_of(resource))
    gone = {base_name(each) for each in names}
    said = [each for each in dict.fromkeys(_stand_in(tree, set(stored))) if any(f"no {name} " in each for name in gone)]
    for resource in stored.values():
        group = resource.select.get("group") if isinstance(resource.select, dict) else None
        if resource.name not in names and f"groups/{group}" in names:
            said.append(f"{resource.name} selects groups/{group}: the sidecars will refuse it without")
    return said


def _section(tree: Table, kind: str) -> Table:
    if not isinstance(tree.get(kind), Table):
        mark = Mark(tree.mark.file, 0, 0, tree.mark, kind)
        tree.put(kind, mark, Table(mark), mark)
    section: Table = tree[kind]
    return section


def _value_of(resource: Resource) -> Any:
    try:
        return resource.value
    except ValueError:
        return None


def _plant(tree: Table, name: str, file: str, value: Any) -> None:
    kind, _, own = name.partition("/")
    section = _section(tree, kind)
    planting = Planting(file)
    mark = planting.mark(section.mark, own)
    section.pop(own, None)
    section.put(own, mark, planting.value(value, mark), mark)


def _stand_in(tree: Table, ours: set[str]) -> list[str]:
    """Put something in the place of what is referred to and not there; returns what that is for proposed resources."""
    said = []
    for problem in list(missing_references(tree)):
        found = _MISSING.match(problem.message)
        assert found is not None, problem.message
        kind, value = _STAND_INS[found[1]]
        if found[2] not in tree.get(kind, {}):
            _plant(tree, f"{kind}/{found[2]}", "stand-in", value)
        if problem.file in ours:
            said.append(
                f"{problem.path}: there is no {kind}/{found[2]} on the bus: the sidecars need it in their own files"
            )
    return said
