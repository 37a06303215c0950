"""Show what the sidecars make of the configuration.

For each live sidecar: the version that it has, whether it is in step with the bus or behind, ACK or NACK with the
reason, how long the last change took, and when it was last heard of; above them the bus itself, and an open canary.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import age, counted, plain, show, table
from twisted_mesh.cli.session import Session, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.status import Sidecar, Status

NAME = "status"
HELP = "show what the sidecars make of the configuration"

_HEAD = ["NODE", "SERVICE", "ZONE", "VERSION", "STEP", "STATE", "TOOK", "CALLS", "ERRORS", "AGE"]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    options_of.bus(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it."""
    return with_mesh(arguments, lambda session: _status(session, arguments))


async def _status(session: Session, arguments: argparse.Namespace) -> int:
    status = await session.store.status()
    show(arguments, as_json(session.name, status), lambda: text(session.name, status))
    return 0


def as_json(mesh: str, status: Status) -> dict[str, Any]:
    """Return it for programs."""
    from twisted_mesh.bus.status import plain as builtins

    made: dict[str, Any] = {"mesh": mesh, **builtins(status), "sidecars": []}
    for each in status.sidecars:
        report = {name: getattr(each.report, name) for name in each.report.__struct_fields__}
        report["nacks"] = [builtins(nack) for nack in each.report.nacks]
        report["labels"] = dict(each.report.labels)
        more = {
            "step": each.step,
            "state": each.state,
            "age": each.age,
            "left": each.left,
            "error_share": each.error_share,
            "twins": each.twins,
        }
        made["sidecars"].append({**report, **more})
    return made


def text(mesh: str, status: Status) -> str:
    """Return it for people."""
    behind = [each for each in status.sidecars if each.step != "in step"]
    refusing = [each for each in status.sidecars if each.state == "nack"]
    first = f"mesh {mesh}: version {status.version}, {counted(len(status.sidecars), 'live sidecar')}"
    lines = [first + f", {len(behind)} not in step, {len(refusing)} with a NACK"]
    if status.behind:
        lines.append(f"{status.behind}: `meshctl restore` writes it back")
    if status.canary is not None:
        lines.append(_canary(status))
    if status.sidecars:
        lines += ["", table(_HEAD, [_row(each) for each in status.sidecars])]
    lines += _troubles(status)
    return "\n".join(lines)


def _canary(status: Status) -> str:
    canary, counts = status.canary, status.counted
    assert canary is not None
    members = sum(each.report.canary for each in status.sidecars)
    theirs, others = _share(counts.errors, counts.calls), _share(counts.other_errors, counts.other_calls)
    return plain(
        f"canary of version {canary.version} ({', '.join(canary.names)}) for {100 * canary.share:.4g} %, "
        f"{counted(members, 'sidecar')}: {theirs} of its calls failed, {others} of the others'"
    )


def _share(errors: int, calls: int) -> str:
    return f"{100 * errors / calls:.2g} %" if calls else "none"


def _row(sidecar: Sidecar) -> list[object]:
    report = sidecar.report
    return [
        report.node,
        report.service,
        report.zone,
        f"{report.version}{' canary' if report.canary else ''}",
        sidecar.step,
        sidecar.state.upper(),
        f"{1000 * report.took:.0f}ms",
        report.calls,
        report.errors,
        age(sidecar.age),
    ]


def _troubles(status: Status) -> list[str]:
    lines = []
    for each in status.sidecars:
        lines += [
            f"{each.node}: NACK {nack.name} (version {nack.version}): {nack.reason}" for nack in each.report.nacks
        ]
        if each.report.more:
            lines.append(f"{each.node}: {each.report.more} more NACKs")
        if each.twins:
            lines.append(f"{each.node}: several sidecars go by this name; give each a node.id of its own")
        if each.report.trouble:
            lines.append(f"{each.node}: {each.report.trouble}")
    return ["", *map(plain, lines)] if lines else []
