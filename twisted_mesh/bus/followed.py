"""One set of records that is followed: what messages and readings make of its view."""

from __future__ import annotations

from typing import Any, Callable, Generic, Sequence, TypeVar, Union

from twisted.logger import Logger

from twisted_mesh.bus.leases import Changes, Whole
from twisted_mesh.bus.view import Change, View, read_change
from twisted_mesh.families import Families
from twisted_mesh.metrics import Cell

# Messages kept while a set is being read; with more it is read again.
EARLY = 256

V = TypeVar("V", bound=View[Any])

log = Logger("twisted_mesh.bus")


class Followed(Generic[V]):
    """A set, its view, and those who want to hear of it.

    `hear` and `got` return whether the set must be read (again), as something is missing.

    :ivar fresh: nothing that is known counts: the whole set must be read.
    :ivar reading: it is being read; messages wait.
    :ivar again: it must be read once more after that.
    """

    def __init__(self, view: V, kind: str, cells: FollowerCells, everyone: Sequence[Callable[[V], None]]) -> None:
        self.view = view
        self.listeners: list[Callable[[V], None]] = []
        self.subscribed = False
        self.reading = False
        self.again = False
        self.fresh = True
        self._kind = kind
        self._cells = cells
        self._everyone = everyone
        self._early: list[Change] = []

    def __repr__(self) -> str:
        return f"<Followed {self.view!r} by {len(self.listeners)}{' reading' if self.reading else ''}>"

    def add(self, changed: Callable[[V], None]) -> None:
        """Have `changed` called with each change, and at once if anything is known."""
        self.listeners.append(changed)
        if self.view.known or self.view.records:
            self.view.touched = frozenset(self.view.records)
            self._call(changed)

    # --- messages

    def hear(self, message: bytes) -> bool:
        """Take in a message."""
        try:
            change = read_change(message)
        except ValueError as error:
            self._cells.refused.value += 1
            log.warn(
                "a message about {kind} {name} cannot be read: {error}",
                kind=self._kind,
                name=self.view.name,
                error=error,
            )
            return True
        if not self.reading:
            return self._take([change], self._cells.by_message)
        self._early.append(change)
        if len(self._early) > EARLY:
            self._early.clear()
            self.again = True
        return False

    def _take(self, changes: Sequence[Change], count: Cell) -> bool:
        """Apply the changes that are next in turn, until one is missing."""
        view = self.view
        touched: set[str] = set()
        missing = False
        for change in changes:
            if change.v <= view.version:
                continue
            if change.v != view.version + 1 or not view.known:
                # The first change of a set that was empty is no surprise.
                self._cells.gaps.value += int(view.version > 0)
                missing = True
                break
            touched.update(view.apply(change))
            count.value += 1
        if touched:
            self._tell(frozenset(touched))
        return missing

    # --- readings

    def got(self, answer: Union[Changes, Whole], synced: bool) -> bool:
        """Take in what was read.

        :param synced: whether messages come from now on.
        """
        view = self.view
        self.reading = False
        news = not view.known or view.synced != synced
        view.known, view.synced = True, synced
        if synced:
            view.stale_since = None
        if isinstance(answer, Whole):
            self._cells.by_reading.value += 1
            touched = view.take(answer)
            if touched or news:
                self._tell(touched)
            missing = False
        else:
            if news:
                self._tell(frozenset())
            self._take(self._listed(answer.changes), self._cells.by_reading)
            # Whoever wrote a version without keeping its change has written the record all the same.
            missing = self.fresh = view.version != answer.version
        early, self._early = self._early, []
        return self._take(early, self._cells.by_message) or missing

    def _listed(self, changes: Sequence[bytes]) -> Sequence[Change]:
        try:
            return [read_change(each) for each in changes]
        except ValueError as error:
            self._cells.refused.value += 1
            log.warn(
                "a change that is kept of {kind} {name} cannot be read: {error}",
                kind=self._kind,
                name=self.view.name,
                error=error,
            )
            return []

    def failed(self) -> None:
        """It could not be read."""
        self.reading = False
        self.fresh = True
        self._early.clear()

    def down(self, now: float) -> None:
        """No message comes any more."""
        if self.view.synced:
            self.view.synced = False
            self.view.stale_since = now
            self._tell(frozenset())

    # --- those who want to hear

    def _tell(self, touched: frozenset[str]) -> None:
        view = self.view
        view.touched = touched
        for id in touched & view.refused.keys():
            self._cells.refused.value += 1
            log.warn(
                "{kind} {name}: the record {id} cannot be read and is passed over: {why}",
                kind=self._kind,
                name=view.name,
                id=id,
                why=view.refused[id],
            )
        for each in [*self.listeners, *self._everyone]:
            self._call(each)

    def _call(self, changed: Callable[[V], None]) -> None:
        try:
            changed(self.view)
        except Exception:
            log.failure("a change of {kind} {name} was not taken in", kind=self._kind, name=self.view.name)


class FollowerCells:
    """What is counted of one kind."""

    __slots__ = ("by_message", "by_reading", "followed", "gaps", "refused")

    def __init__(self, families: Families, kind: str) -> None:
        self.followed = families.bus_followed.labels(kind)
        self.by_message = families.bus_changes.labels(kind, "message")
        self.by_reading = families.bus_changes.labels(kind, "reading")
        self.gaps = families.bus_gaps.labels(kind)
        self.refused = families.bus_refused_records.labels(kind)
