"""List the resources on the bus, or print some of them as a file that `meshctl apply` takes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import Failure
from twisted_mesh.cli.output import age, plain, show, table
from twisted_mesh.cli.session import Session, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.resource import Resource

NAME = "get"
HELP = "show resources of the configuration"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "names",
        metavar="RESOURCE",
        nargs="*",
        type=options_of.resource_or_kind,
        help="such as clusters/web, or clusters for a list of them; a list of all if none is given",
    )
    parser.add_argument("--at", metavar="VERSION", type=options_of.version, help="as it was in that version")
    options_of.bus(parser, ("text", "json", "yaml", "names"))


def run(arguments: argparse.Namespace) -> int:
    """Show them."""
    return with_mesh(arguments, lambda session: _get(session, arguments))


async def _get(session: Session, arguments: argparse.Namespace) -> int:
    found = await all_of(session, arguments.at)
    names = _expanded(arguments.names or [""], found)
    check_known(names, found)
    chosen = [found[name] for name in names]
    as_file = any("/" in each for each in arguments.names) or arguments.output == "yaml"
    now = session.wall()
    show(
        arguments,
        [_as_json(each) for each in chosen],
        lambda: _file(chosen) if as_file else table(_HEAD, [_row(each, now) for each in chosen]),
        names,
    )
    return 0


def _expanded(names: Sequence[str], found: Mapping[str, Resource]) -> list[str]:
    """Return the names; for a kind those of all of that kind."""
    wanted: dict[str, None] = {}
    for name in names:
        kind = f"{name}/" if name else ""
        wanted.update(
            dict.fromkeys([name] if "/" in name else [each for each in sorted(found) if each.startswith(kind)])
        )
    return list(wanted)


async def all_of(session: Session, version: int | None = None) -> Mapping[str, Resource]:
    """Return all resources, as they are or as they were."""
    if version is not None:
        return await session.store.at(version)
    return (await session.store.read()).resources


def check_known(names: Sequence[str], found: Mapping[str, Resource]) -> None:
    """See that all are there.

    :raises Failure: with a line for each that is not.
    """
    from twisted_mesh.control.nearest import did_you_mean_or_list

    missing = [name for name in names if name not in found]
    if missing:
        lines = [f"there is no {name} on the bus{did_you_mean_or_list(name, found)}" for name in missing]
        raise Failure("\n".join(lines), details={"error": "not found", "missing": missing})


_HEAD = ["RESOURCE", "VERSION", "AGE", "AUTHOR", "FOR", "REASON"]


def _row(resource: Resource, now: float) -> list[object]:
    reason = f"unreadable: {resource.problem}" if resource.problem else resource.reason
    return [
        resource.name,
        resource.version,
        age(now - resource.at) if resource.at else "-",
        resource.author,
        select_text(resource.select),
        reason,
    ]


def select_text(select: Any) -> str:
    """Return a selector in one line."""
    if not select:
        return "all"
    parts = []
    for name, value in select.items():
        if name == "labels" and isinstance(value, dict):
            parts += [f"{label}={_choice(each)}" for label, each in value.items()]
        else:
            parts.append(f"{name}={_choice(value)}")
    return ",".join(parts)


def _choice(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_json(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.name,
        "version": resource.version,
        "author": resource.author,
        "reason": resource.reason,
        "at": resource.at,
        "select": resource.select,
        "value": None if resource.problem else resource.value,
        "problem": resource.problem or None,
    }


def _file(chosen: Sequence[Resource]) -> str:
    from twisted_mesh.cli.yamltext import document

    bad = next((each for each in chosen if each.problem), None)
    if bad is not None:
        raise Failure(f"{bad.name}: {plain(bad.problem)}")
    selects = [each.select or None for each in chosen if not each.name.startswith("groups/")]
    if any(each != selects[0] for each in selects):
        raise Failure(
            "these are for different sidecars, and a file is for the same ones: name those that belong together"
        )
    return document({each.name: each.value for each in chosen}, selects[0] if selects else None).rstrip("\n")
