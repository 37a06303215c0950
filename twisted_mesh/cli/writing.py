"""What commands that change the configuration share: saying what was written, and waiting for the sidecars."""

from __future__ import annotations

import argparse
from typing import Any, Collection, NamedTuple, Optional, Sequence

from twisted_mesh.bus.resource import Change
from twisted_mesh.bus.status import Sidecar, Status
from twisted_mesh.bus.store_answers import Written
from twisted_mesh.bus.stored import Nack
from twisted_mesh.cli.failure import NO
from twisted_mesh.cli.output import complain, counted, plain, show
from twisted_mesh.cli.session import Session

# Resources that a line names.
SHOWN = 10


class Awaited(NamedTuple):
    """What the live sidecars have said of a version: who has not taken it, and who refuses something that it brings;
    and the version that ended it, if it is a canary that was rolled back."""

    sidecars: int
    late: Sequence[Sidecar]
    refused: Sequence[tuple[str, str, str]]
    ended: Optional[Change] = None

    @property
    def good(self) -> bool:
        """Whether all have acknowledged."""
        return not self.late and not self.refused and self.ended is None

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        ended = self.ended
        more = {} if ended is None else {"rolled_back": {"version": ended.version, "reason": ended.reason}}
        return {
            "acknowledged": self.good,
            "sidecars": self.sidecars,
            "late": [{"node": each.node, "version": each.report.version, "step": each.step} for each in self.late],
            "refused": [{"node": node, "name": name, "reason": reason} for node, name, reason in self.refused],
            **more,
        }

    def lines(self) -> list[str]:
        """Return who is to be seen to, a line each."""
        late = [
            f"{each.node} has not taken it: it has version {each.report.version}"
            + (f"; {each.report.trouble}" if each.report.trouble else "")
            for each in self.late
        ]
        ended = [] if self.ended is None else [f"rolled back in version {self.ended.version}: {self.ended.reason}"]
        refused = [f"{node} refuses {why}" for node, _, why in self.refused]
        return [plain(each) for each in (*late, *refused, *ended)]


Nacks = Sequence[tuple[str, Nack]]


def awaited(status: Status, version: int, names: Collection[str], before: Optional[Nacks] = None) -> Awaited:
    """Return what the sidecars say of a version that changed these resources.

    :param before: what was refused before it; if given, what is refused since counts too, as it may come of it.
    """
    bases = {each.partition("@")[0] for each in names}
    refused = [
        (node, nack.name, f"{nack.name}: {nack.reason}")
        for node, nack in status.nacks
        if nack.name.partition("@")[0] in bases
        or nack.version >= version
        or (before is not None and (node, nack) not in before)
    ]
    return Awaited(len(status.sidecars), status.waiting_for(version), refused)


async def finish(
    session: Session,
    arguments: argparse.Namespace,
    written: Written,
    names: Collection[str],
    done: str,
    more: Optional[dict[str, Any]] = None,
    before: Optional[Nacks] = None,
) -> int:
    """Say what was written, wait for the sidecars where that is wanted, and return the status.

    :param done: what was done, as in ``applied``.
    :param before: as for `awaited`.
    """
    value: dict[str, Any] = {"version": written.version, "new": written.new, **(more or {})}
    found: Optional[Awaited] = None
    if arguments.wait:
        status = await session.store.wait(written.version, arguments.timeout)
        found = awaited(status, written.version, names, before)
        found = found._replace(ended=await session.store.rolled_back(written.version))
        value["waited"] = found.as_json()
    line = f"version {written.version}: {done}" if written.new else f"version {written.version}: nothing differs"
    if found is not None and found.good:
        line += f"; {counted(found.sidecars, 'sidecar')} acknowledged" if found.sidecars else "; no sidecar is live"
    show(arguments, value, lambda: line)
    if found is None or found.good:
        return 0
    for each in found.lines():
        complain(each)
    return NO


async def finish_change(session: Session, arguments: argparse.Namespace, written: Written, done: str) -> int:
    """Do as `finish` does for what the store found by itself: which resources were changed is looked up and said."""
    names = await _changed_by(session, written)
    return await finish(session, arguments, written, names, f"{done} ({_few(names)})", {"names": names})


async def _changed_by(session: Session, written: Written) -> list[str]:
    if not written.new:
        return []
    found = await session.store.history(20)
    return [name for each in found if each.version == written.version for name in each.names]


def _few(names: Sequence[str]) -> str:
    """Return names for a line that people read."""
    if not names:
        return "nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
