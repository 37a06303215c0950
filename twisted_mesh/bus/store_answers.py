"""What the scripts of the configuration store answer, as values and errors."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence

import msgspec

from twisted_mesh.bus.resource import TRIAL, Canary, Change, Resource, decode
from twisted_mesh.bus.store_errors import (
    CanaryOpen,
    Clash,
    Conflict,
    NoCanary,
    NoOffer,
    NoSuchVersion,
    StoreBehind,
    StoreError,
    told_of,
)


class Written(NamedTuple):
    """What came of a write: the version of the store, and whether it is a new one (if not, nothing differed)."""

    version: int
    new: bool


class _Clash(msgspec.Struct):
    name: str
    seen: int
    version: int = 0
    author: str = ""
    reason: str = ""
    at: float = 0.0
    deleted: bool = False
    canary: bool = False


class _Entry(msgspec.Struct):
    version: int
    kind: str
    author: str
    reason: str
    at: float
    names: tuple[str, ...] = ()
    share: Optional[float] = None
    to: Optional[int] = None
    canary: Optional[int] = None
    node: str = ""


def written(answer: Sequence[Any], asked: Optional[int] = None) -> Written:
    """Return what was written.

    :param asked: the version that was asked for.
    :raises StoreError: the store refused.
    """
    said = answer[0].decode()
    if said in ("written", "done", "same"):
        return Written(int(answer[1]), said != "same")
    if said == "conflict":
        raise Conflict([_clash(each) for each in msgspec.json.decode(answer[1], type=list[_Clash])])
    if said == "behind":
        raise StoreBehind(int(answer[1]), int(answer[2]), answer[3].decode())
    if said == "canary":
        raise CanaryOpen(f"{_told(answer[1])}: promote it or roll it back first")
    if said == "none":
        raise no_canary(answer[1], asked)
    if said == "nothing":
        raise NoSuchVersion("there is nothing to undo: no version that is kept changed anything")
    if said == "unknown":
        raise no_such_version(asked, answer)
    raise StoreError(f"the store answered {said!r}, which this version of meshctl does not know")


def no_such_version(version: Optional[int], answer: Sequence[Any]) -> NoSuchVersion:
    """Return the error for a version that is not kept, or not there yet."""
    oldest, newest = int(answer[1]), int(answer[2])
    if not newest:
        return NoSuchVersion(f"there is no version {version}: nothing was written yet")
    if version is not None and version > newest:
        return NoSuchVersion(f"there is no version {version} yet; the newest is {newest}")
    return NoSuchVersion(f"version {version} is not kept any more; the oldest that is kept is {oldest}")


def no_canary(json: bytes, asked: Optional[int]) -> NoCanary:
    """Return the error for a canary that is not there, or is another one."""
    if not json:
        return NoCanary("there is no canary")
    return NoCanary(f"the canary of version {asked} has ended; {_told(json)}")


def no_offer(answer: Sequence[Any], node: str) -> NoOffer:
    """Return the error for a configuration that nobody offers."""
    high, whose = int(answer[1]), answer[2].decode()
    if not high:
        return NoOffer("no sidecar has more than the store: there is nothing to restore")
    if node:
        return NoOffer(f"{node} does not offer its configuration; {whose} has version {high}")
    return NoOffer(f"{whose} has version {high} but did not offer it in time; try again")


def change_of(json: bytes) -> Change:
    """Return an entry of the history."""
    found = msgspec.json.decode(json, type=_Entry)
    names = dict.fromkeys(each[len(TRIAL) :] if each.startswith(TRIAL) else each for each in found.names)
    return Change(
        version=found.version,
        kind=found.kind,
        author=found.author,
        reason=found.reason,
        at=found.at / 1000.0,
        names=tuple(names),
        share=found.share,
        to=found.to,
        canary=found.canary,
        node=found.node,
    )


def as_before(now: Mapping[str, Resource], before: Sequence[bytes]) -> dict[str, Resource]:
    """Return what there was: `before` holds name and record of each that changed since."""
    found = dict(now)
    for at in range(0, len(before), 2):
        name, record = before[at].decode("utf-8", "replace"), before[at + 1]
        if record:
            found[name] = decode(name, record)
        else:
            found.pop(name, None)
    return found


def _clash(found: _Clash) -> Clash:
    return Clash(
        found.name,
        found.seen,
        found.version,
        found.author,
        found.reason,
        found.at / 1000.0,
        found.deleted,
        found.canary,
    )


def _told(json: bytes) -> str:
    canary = msgspec.json.decode(json, type=Canary)
    names = ", ".join(canary.names)
    return f"there is a canary of version {canary.version} ({names}) " + told_of(
        canary.author, canary.at / 1000.0, canary.reason
    )
