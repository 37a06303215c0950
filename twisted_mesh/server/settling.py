"""When a sidecar looks for the garbage that a world before has left: at a moment when nobody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.bus.tally import Tally
from twisted_mesh.server import memory

if TYPE_CHECKING:
    from twisted_mesh.control.world import World

# Seconds without a call after which nobody is taken to wait; a look for garbage may stop everything for 0.1 s then.
QUIET = 10.0
# Clusters that went since the last such look, some 100 MiB at the most; it does not wait for quiet then.
MOST_RETIRED = 10_000


class Settling:
    """Sets aside what a change has built, and looks once for what it has left behind."""

    def __init__(self, world: World, clock: IReactorTime, tally: Tally) -> None:
        self._world = world
        self._clock = clock
        self._tally = tally
        self._timer: Optional[IDelayedCall] = None

    def changed(self) -> None:
        """A change was applied."""
        memory.set_aside()
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
        if quiet or self._world.retired >= MOST_RETIRED:
            self._world.retired = 0
            memory.settle_idle()
        else:
            self._timer = self._clock.callLater(QUIET, self._look)
