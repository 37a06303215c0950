"""When a sidecar looks for garbage that hangs in cycles: at a moment when nobody waits.

What a change replaces leaves none (see `weakly`), but filters of users may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.bus.tally import Tally
from twisted_mesh.server import memory
from twisted_mesh.strain import resident

if TYPE_CHECKING:
    from twisted_mesh.control.world import World

# Seconds without a call after which nobody is taken to wait; a look for garbage may stop everything for 0.1 s then.
QUIET = 10.0
# Bytes by which the process may have grown since it was last settled; the look does not wait for quiet then.
MOST_GROWN = 256 << 20


class Settling:
    """Sets aside what a change has built, and looks once for what it has left behind.

    :param measure: returns how much memory the process has, in bytes.
    """

    def __init__(self, world: World, clock: IReactorTime, tally: Tally, measure: Callable[[], int] = resident) -> None:
        self._world = world
        self._clock = clock
        self._tally = tally
        self._measure = measure
        # What the process had when it was last settled, or before the first change; None before that.
        self._settled: Optional[int] = None
        self._timer: Optional[IDelayedCall] = None

    def changed(self) -> None:
        """A change was applied."""
        memory.set_aside()
        if self._settled is None:
            self._settled = self._measure()
        if self._timer is None:
            self._timer = self._clock.callLater(QUIET, self._look)

    def stop(self) -> None:
        """Look no more: the process ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        before = self._tally.calls
        self._tally.look()
        quiet = not self._world.active and self._tally.calls == before
        if quiet or self._measure() - (self._settled or 0) >= MOST_GROWN:
            memory.settle_idle()
            self._settled = self._measure()
        else:
            self._timer = self._clock.callLater(QUIET, self._look)
