"""Reading the configuration store: all of it, or what changed."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Protocol, Sequence, Union

import msgspec
from twisted.internet.defer import Deferred

from twisted_mesh.bus.client import Argument, Script
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.read_scripts import CHANGES
from twisted_mesh.bus.resource import TRIAL, Canary, base_name, decode
from twisted_mesh.bus.store_keys import store_channel, store_keys
from twisted_mesh.bus.stored import EMPTY, Stored

# Records and bytes of one page: what a sidecar decodes in well under two milliseconds, between which calls run.
PAGE_RECORDS = 100
PAGE_BYTES = 128 * 1024
# Times that a read begins anew, as the store was exchanged under it, or changed more often than it keeps versions.
TRIES = 8

_changes = Script("config-changes", CHANGES)


class Commands(Protocol):
    """What the store needs of a `bus.client.Redis`."""

    def script(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], timeout: Optional[float] = None
    ) -> Deferred[Any]: ...


class Behind(NamedTuple):
    """The store lost what the reader has: it should keep that.  `epoch` is "" where the store is empty."""

    epoch: str
    version: int

    def __str__(self) -> str:
        return f"the store has version {self.version} ({self.epoch})" if self.epoch else "the store is empty"


async def read(redis: Commands, keys: Keys, known: Stored = EMPTY) -> Union[Stored, Behind]:
    """Return the store as it is now, having read only what changed since `known`.

    The result is `known` itself if nothing changed.  `Behind` says that the store has lost what `known` holds.

    :raises BusError: Redis could not be asked.
    """
    base = known
    for _ in range(TRIES):
        answer = await _to_the_end(redis, keys, base)
        if isinstance(answer, Stored):
            return _compared(known, answer) if base is not known else answer
        state, epoch, version = answer
        if state != "gone" and known.version and not _supersedes(epoch, version, known):
            return Behind(epoch, version)
        base = EMPTY
    raise BusError("protocol", f"the store changes faster than it can be read, {TRIES} times over")


def first_version(epoch: str) -> int:
    """Return the version with which a life of the store began, 0 if it never did."""
    first = epoch.partition("-")[0]
    return int(first) if first.isdecimal() else 0


def _supersedes(epoch: str, version: int, known: Stored) -> bool:
    """Whether the store is the one that `known` came from, or began by the will of somebody who knew of it."""
    return version >= known.version if epoch == known.epoch else first_version(epoch) > known.version


async def _to_the_end(redis: Commands, keys: Keys, base: Stored) -> Union[Stored, tuple[str, str, int]]:
    """Return `base` and what changed since, or why that cannot be, with life and version of the store."""
    records, found = dict(base.records), set()
    epoch = base.epoch or "*"
    score, last = b"", b""
    began: Argument = ""
    while True:
        args = (store_channel(keys), epoch, base.version, score, last, PAGE_RECORDS, PAGE_BYTES, began)
        answer = await redis.script(_changes, store_keys(keys), args)
        state, epoch, version = answer[0].decode(), answer[1].decode(), int(answer[2])
        if state != "ok":
            return state, epoch, version
        began = began or version
        page = answer[5]
        for at in range(0, len(page), 3):
            last, score, record = page[at : at + 3]
            name = last.decode("utf-8", "replace")
            found.add(_configured(name))
            if record is None:
                records.pop(name, None)
            else:
                records[name] = decode(name, record)
        if not answer[3]:
            canary = canary_of(answer[4])
            if not found and (epoch, version, canary) == (base.epoch, base.version, base.canary):
                return base
            return Stored(epoch, version, records, canary, frozenset(found) if base.version else None)


def _compared(known: Stored, new: Stored) -> Union[Stored, Behind]:
    """Return what was read from the start, with the difference to what was known."""
    if not known.version:
        return new
    if not _supersedes(new.epoch, new.version, known):
        return Behind(new.epoch, new.version)
    old = {name: each.record for name, each in known.records.items()}
    now = {name: each.record for name, each in new.records.items()}
    differ = {name for name in old.keys() | now.keys() if old.get(name) != now.get(name)}
    return msgspec.structs.replace(new, changed=frozenset(map(_configured, differ)))


def _configured(name: str) -> str:
    return base_name(name[len(TRIAL) :] if name.startswith(TRIAL) else name)


def canary_of(json: Optional[bytes]) -> Optional[Canary]:
    """Return the canary that a text of JSON describes, None if it is none."""
    if json is None:
        return None
    try:
        found = msgspec.json.decode(json, type=Canary)
    except msgspec.DecodeError:
        return None
    return msgspec.structs.replace(found, at=found.at / 1000.0)
