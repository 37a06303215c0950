"""What is known here of a set of records at Redis, and how it changes."""

from __future__ import annotations

from typing import Callable, Generic, Iterable, Mapping, NamedTuple, Optional, TypeVar

import msgspec

from twisted_mesh.bus.leases import Whole

T = TypeVar("T")

Decode = Callable[[str, str, bytes], T]
"""Makes a record of its JSON, given the name of the set and its id; raises ValueError where it is none."""


class Suspect(NamedTuple):
    """A record that is kept although its lease ran out: until when (seconds since the epoch, by Redis's clock), and
    why."""

    until: float
    why: str


class View(Generic[T]):
    """What is known of one set.

    - `records` by id, `suspects` among them by id, and the `version` that they belong to.
    - `synced` says that changes are heard of as they happen; else `stale_since` says since when they may not be
      (seconds since the epoch; None if it never was).
    - `touched` are the ids that the last change is about; `vanished` those that were gone with it because Redis has
      lost what it had, and not because anybody took them away.
    - `refused` counts records that could not be read; what was there before stays in force.

    It is one object, which changes; `records` and `suspects` are for reading.
    """

    def __init__(self, name: str, decode: Decode[T]) -> None:
        self.name = name
        self.version = 0
        self.records: dict[str, T] = {}
        self.suspects: dict[str, Suspect] = {}
        self.synced = False
        self.known = False
        self.stale_since: Optional[float] = None
        self.touched: frozenset[str] = frozenset()
        self.vanished: frozenset[str] = frozenset()
        self.born = ""
        self.refused: dict[str, str] = {}
        self._decode = decode

    def __repr__(self) -> str:
        state = "synced" if self.synced else "stale"
        suspects = f", {len(self.suspects)} suspects" if self.suspects else ""
        return f"<{type(self).__name__} {self.name} {state} at {self.version}: {len(self.records)} records{suspects}>"

    def remember(self, records: Mapping[str, T]) -> None:
        """Begin with what was known in another life."""
        self.records = dict(records)

    def take(self, whole: Whole) -> frozenset[str]:
        """Become what Redis has; returns the ids of what has changed."""
        before, suspected, refused = self.records, self.suspects, self.refused
        self.records, self.refused = {}, {}
        for id, record in whole.records.items():
            self._set(id, record, before.get(id))
        self.suspects = {
            id: Suspect(until / 1000, whole.why) for id, until in whole.suspects.items() if id in self.records
        }
        lost = (bool(self.born) and whole.born != self.born) or whole.version < self.version
        self.vanished = frozenset(before.keys() - self.records.keys()) if lost else frozenset()
        self.version, self.born = whole.version, whole.born
        changed = {id for id in before.keys() | self.records.keys() if before.get(id) is not self.records.get(id)}
        changed |= {id for id in suspected.keys() | self.suspects.keys() if suspected.get(id) != self.suspects.get(id)}
        changed |= {id for id, why in self.refused.items() if refused.get(id) != why}
        return frozenset(changed)

    def apply(self, change: Change) -> Iterable[str]:
        """Apply the next change; returns the ids that it is about."""
        self.version = change.v
        self.vanished = frozenset()
        if change.op == "set":
            self._set(change.id, bytes(change.record), self.records.get(change.id))
            self.suspects.pop(change.id, None)
            return (change.id,)
        for id in change.ids:
            if change.op == "suspect" and id in self.records:
                self.suspects[id] = Suspect(change.until / 1000, change.why)
            elif change.op in ("clear", "del"):
                self.suspects.pop(id, None)
            if change.op == "del":
                self.records.pop(id, None)
                self.refused.pop(id, None)
        return change.ids

    def _set(self, id: str, record: bytes, before: Optional[T]) -> None:
        try:
            made = self._decode(self.name, id, record)
        except ValueError as error:
            self.refused[id] = str(error)
            if before is not None:
                self.records[id] = before
            return
        self.refused.pop(id, None)
        # What is equal stays the same object, so that nobody takes it for a change.
        self.records[id] = before if before is not None and before == made else made


class Change(msgspec.Struct, frozen=True):
    """One change of a set, as it is published; see `twisted_mesh.bus.lease_scripts`."""

    v: int
    op: str
    id: str = ""
    record: msgspec.Raw = msgspec.Raw(b"")
    ids: list[str] = []
    until: int = 0
    why: str = ""


_decoder = msgspec.json.Decoder(Change)


def read_change(text: bytes) -> Change:
    """Return the change that a message holds.

    :raises ValueError: it holds none.
    """
    return _decoder.decode(text)
