"""Writing what is good to disk, some time after it has changed."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Optional, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.bus.disk import Disk, DiskError, Good, Kept, KeptOverrides
from twisted_mesh.bus.instance import Instance, encode
from twisted_mesh.bus.stored import Stored
from twisted_mesh.control.offers import Offer

# Seconds from a change to its being written, at least: a burst of changes is written once.
DELAY = 1.0
# And so many times as long as it took the last time: large services that change all the time are not always written.
REST = 50.0
LONGEST_DELAY = 60.0
# Seconds that the thread that writes leaves the interpreter to the loop after each piece: CPython lets a thread that
# does not wait itself run for 5 ms, and calls would wait as long.
BREATH = 0.0002
# Instances that are encoded in one piece.
FEW = 100

log = Logger("twisted_mesh.bus")

T = TypeVar("T")


class State(NamedTuple):
    """What is worth keeping, as it is at a moment."""

    stored: Stored
    good: Mapping[str, Offer]
    services: Mapping[str, tuple[Instance, ...]]
    overrides: KeptOverrides = KeptOverrides()


class Keeper:
    """Keeps the state of one sidecar.

    :param state: what there is to keep now.
    :ivar trouble: why the last write failed; "" if it did not.
    """

    def __init__(
        self, disk: Disk, mesh: str, reactor: Any, wall: Callable[[], float], state: Callable[[], State]
    ) -> None:
        self.trouble = ""
        self._disk = disk
        self._mesh = mesh
        self._reactor = reactor
        self._wall = wall
        self._state = state
        self._timer: Optional[IDelayedCall] = None
        self._writing: Optional[Deferred[None]] = None
        self._again = False
        # Seconds that the last write took.
        self._took = 0.0

    def __repr__(self) -> str:
        return f"<Keeper {self._disk.path} {self.trouble}>"

    def changed(self) -> None:
        """Something has changed."""
        if self._writing is not None:
            self._again = True
        elif self._timer is None:
            delay = min(max(DELAY, self._took * REST), LONGEST_DELAY)
            self._timer = self._reactor.callLater(delay, self._write)

    def stop(self) -> Deferred[None]:
        """Write what was not written yet; fires when that is done."""
        pending = self._timer is not None or self._again
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._again = False
        return Deferred.fromCoroutine(self._finish(pending))

    async def _finish(self, pending: bool) -> None:
        if self._writing is not None:
            await self._writing
        if pending:
            await self._save()

    def _write(self) -> None:
        self._timer = None
        self._writing = writing = Deferred.fromCoroutine(self._save())
        writing.addCallback(self._written)

    def _written(self, result: None) -> None:
        self._writing = None
        if self._again:
            self._again = False
            self.changed()

    async def _save(self) -> None:
        # In a thread: a disk may take seconds, and large configurations some milliseconds to be encoded.
        save = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._save_here, self._state())
        began = self._reactor.seconds()
        error = await save.addErrback(_error)
        self._took = self._reactor.seconds() - began
        trouble = "" if error is None else str(error)
        if trouble and trouble != self.trouble:
            log.error("what is good is not kept for a start while Redis is away: {trouble}", trouble=trouble)
        self.trouble = trouble

    def _save_here(self, state: State) -> None:
        rest = partial(time.sleep, BREATH)
        self._disk.save(kept(self._mesh, state, self._wall(), rest), rest)


def _error(failure: Failure) -> DiskError:
    failure.trap(DiskError)
    assert isinstance(failure.value, DiskError)
    return failure.value


def kept(mesh: str, state: State, at: float, rest: Callable[[], None] = lambda: None) -> Kept:
    """Return what a state is on disk.

    :param rest: called again and again meanwhile.
    """
    store = "".join(_paced(state.stored.dump(), 1, rest))
    good = tuple(
        Good(each.name, each.version, each.body.decode("utf-8", "replace"))
        for each in _paced(state.good.values(), FEW, rest)
    )
    services = {
        name: tuple(encode(each).decode() for each in _paced(some, FEW, rest)) for name, some in state.services.items()
    }
    return Kept(mesh, store, good, services, at, state.overrides)


def _paced(items: Iterable[T], every: int, rest: Callable[[], None]) -> Iterator[T]:
    for at, each in enumerate(items, 1):
        yield each
        if at % every == 0:
            rest()
