"""What the configuration store says no to, each in one line that a person can act on."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Sequence

import msgspec


class StoreError(Exception):
    """The store refused, and nothing was changed.  (That the store cannot be reached is a `BusError`.)"""


def told_of(author: str, at: float, reason: str) -> str:
    """Return who changed something, when, and why, if that was said; for the end of a sentence."""
    return f"by {author or 'somebody'} at {when(at)}" + (f' ("{reason}")' if reason else "")


class Clash(msgspec.Struct, frozen=True):
    """One resource that is not as its writer had seen it.

    :ivar seen: the version that the writer had seen; 0 for "there is none".
    :ivar version: the version at which it changed last.
    :ivar at: when, in seconds since the epoch by the clock of Redis.
    :ivar deleted: it is gone.
    :ivar canary: it is held by a canary of that version, which must be promoted or rolled back first.
    """

    name: str
    seen: int = 0
    version: int = 0
    author: str = ""
    reason: str = ""
    at: float = 0.0
    deleted: bool = False
    canary: bool = False

    def __str__(self) -> str:
        who = told_of(self.author, self.at, self.reason)
        if self.canary:
            return f"{self.name} is in the canary of version {self.version} {who}: promote it or roll it back first"
        what = "was deleted" if self.deleted else "was changed"
        had = f"you saw version {self.seen}" if self.seen else "you saw none"
        return f"{self.name} {what} in version {self.version} {who}; {had}"


class Conflict(StoreError):
    """Somebody else changed the same resources; `clashes` says which, in what version, by whom."""

    def __init__(self, clashes: Sequence[Clash]) -> None:
        super().__init__("conflict: " + "; ".join(str(each) for each in clashes))
        self.clashes = tuple(clashes)


class CanaryOpen(StoreError):
    """There can be one canary at a time."""


class NoCanary(StoreError):
    """There is no canary, or another one than was named."""


class NoSuchVersion(StoreError):
    """That version is not kept (any more), or never was."""


class StoreBehind(StoreError):
    """The store lost what sidecars still have, as a Redis that was restarted empty; see `ConfigStore.restore`."""

    def __init__(self, version: int, high: int, node: str) -> None:
        has = f"has version {version}" if version else "is empty"
        super().__init__(
            f"the store {has}, but {node or 'a sidecar'} runs version {high} of what it had before: "
            "`meshctl restore` writes that back; --force begins anew, and the sidecars drop what they have"
        )
        self.version = version
        self.high = high
        self.node = node


class NoOffer(StoreError):
    """No sidecar offers its configuration to be written back."""


def when(at: float) -> str:
    """Return a time that Redis gave, for people: ``2026-01-31 12:00:00Z``."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
