"""What the sidecars of a mesh report of themselves, and how the configuration store stands to them."""

from __future__ import annotations

from typing import Any, Literal, Mapping, Optional

import msgspec

from twisted_mesh.bus.client import Script
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.read_scripts import STATUS
from twisted_mesh.bus.reading import Commands, canary_of, first_version
from twisted_mesh.bus.resource import Canary
from twisted_mesh.bus.store_keys import store_channel, store_keys
from twisted_mesh.bus.stored import Nack
from twisted_mesh.policy.selector import Who

Step = Literal["in step", "behind", "ahead"]

_status = Script("config-status", STATUS)


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sidecar says of itself; the second line of its record.

    :ivar run: a text of its own for each start of a sidecar.
    :ivar epoch: with `version`, which version of the store it has taken; 0 for none yet.
    :ivar nacks: what it cannot use, `more` more are not shown; empty is an ACK.
    :ivar took: seconds that the last change took, from its being read to its being in force.
    :ivar canary: whether it belongs to the canary.
    :ivar calls: that ended since it started, and how many of them failed.
    :ivar trouble: why it keeps what it has, if it does not follow the store.
    """

    node: str
    service: str = ""
    zone: str = ""
    labels: Mapping[str, str] = {}
    run: str = ""
    software: str = ""
    epoch: str = ""
    version: int = 0
    nacks: tuple[Nack, ...] = ()
    more: int = 0
    took: float = 0.0
    canary: bool = False
    calls: int = 0
    errors: int = 0
    trouble: str = ""


def who_of(report: Report) -> Who:
    """Return what selectors look at."""
    return Who(report.node, report.service, report.zone, report.labels)


class _Head(msgspec.Struct):
    at: float
    expires: float
    twins: float = 0.0


class Sidecar(msgspec.Struct, frozen=True):
    """One live sidecar.

    :ivar step: ``in step`` with the store, ``behind`` it (it has not taken the newest version), or ``ahead``: it has
        what the store lost.
    :ivar age: seconds since its last report.
    :ivar left: seconds until it counts as gone, unless it reports again.
    :ivar twins: another process reports under the same name, so that the last of them is what is shown.
    """

    report: Report
    step: Step
    age: float
    left: float
    twins: bool = False

    @property
    def node(self) -> str:
        return self.report.node

    @property
    def state(self) -> Literal["ack", "nack"]:
        """Whether it could use all that it was given."""
        return "nack" if self.report.nacks else "ack"

    @property
    def error_share(self) -> Optional[float]:
        """The share of its calls that failed, None if it had none."""
        return self.report.errors / self.report.calls if self.report.calls else None


class Counted(msgspec.Struct, frozen=True):
    """What was counted since a canary began, of those who belong to it and of the others."""

    calls: int = 0
    errors: int = 0
    other_calls: int = 0
    other_errors: int = 0


class Status(msgspec.Struct, frozen=True):
    """The store and its sidecars, at one moment of Redis's clock (`at`, in seconds since the epoch).

    :ivar version: of the store; 0 if nothing was ever written.
    :ivar behind: why the store is behind the sidecars, in one line; empty if it is not.
    :ivar offer: the sidecar whose configuration `ConfigStore.restore` would write back.
    """

    at: float
    epoch: str
    version: int
    behind: str
    offer: str
    canary: Optional[Canary]
    counted: Counted
    sidecars: tuple[Sidecar, ...]

    def waiting_for(self, version: int) -> list[Sidecar]:
        """Return those that have neither taken nor refused this version or a later one of this life of the store."""
        return [each for each in self.sidecars if each.report.epoch != self.epoch or each.report.version < version]

    @property
    def nacks(self) -> list[tuple[str, Nack]]:
        """Who refuses what."""
        return [(each.node, nack) for each in self.sidecars for nack in each.report.nacks]


async def read_status(redis: Commands, keys: Keys) -> Status:
    """Return what there is to tell.

    :raises BusError: Redis could not be asked.
    """
    answer = await redis.script(_status, store_keys(keys), [store_channel(keys)])
    at, epoch, version = float(answer[0]), answer[1].decode(), int(answer[2])
    found = [_sidecar(each, at, epoch, version) for each in answer[8]]
    return Status(
        at=at / 1000.0,
        epoch=epoch,
        version=version,
        behind=_behind(version, int(answer[5]), answer[6].decode()),
        offer=answer[7].decode(),
        canary=canary_of(answer[3]),
        counted=Counted(*(int(each or 0) for each in answer[4])),
        sidecars=tuple(sorted((each for each in found if each is not None), key=lambda each: each.node)),
    )


def _behind(version: int, high: int, node: str) -> str:
    if not high:
        return ""
    has = f"it has version {version}" if version else "it is empty"
    return f"the store is behind the sidecars: {has}, {node} has version {high} of what was there before"


def _sidecar(record: bytes, at: float, epoch: str, version: int) -> Optional[Sidecar]:
    """Return what a record says, None if it was written by something else."""
    first, _, body = record.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Head)
        report = msgspec.json.decode(body, type=Report)
    except msgspec.DecodeError:
        return None
    step = step_of(report.epoch, report.version, epoch, version)
    age, left = max(0.0, at - head.at) / 1000.0, max(0.0, head.expires - at) / 1000.0
    return Sidecar(report, step, age, left, head.twins > at)


def step_of(theirs: str, version: int, epoch: str, newest: int) -> Step:
    """Return how a sidecar with `version` of the life `theirs` stands to a store at `newest` of `epoch`."""
    if theirs == epoch:
        return "in step" if version == newest else "ahead" if version > newest else "behind"
    if not version:
        return "in step" if not newest else "behind"
    return "behind" if first_version(epoch) > version else "ahead"


def plain(status: Any) -> Any:
    """Return a status, or a part of one, as plain values for ``-o json``."""
    return msgspec.to_builtins(status)
