"""What a start waits for: that the bus was read once, and that it brings what the files lack.

Where nothing was kept from an earlier life, clients wait in the backlog for a moment: what the files say may have been
changed on the bus long ago.  Where the files ask for resources that only the bus can have, the process ends if it does
not bring them in time.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem

# Seconds that clients wait for the bus to be read; then they are served by what the files say.
FIRST_READ = 1.0
# Seconds that a start waits for what only the bus can have.
LACKING = 10.0

log = Logger("twisted_mesh.sidecar")


class Waiting:
    """Waits once.

    :param give_up: called with what is wrong if the bus does not bring in time what the files lack.
    :ivar lacks: what the files lack; None if they lack nothing, or not any more.
    """

    def __init__(self, world: World, clock: Any, give_up: Callable[[Sequence[Problem]], None]) -> None:
        self.lacks: Optional[ConfigError] = None
        self._world = world
        self._clock = clock
        self._give_up = give_up
        self._trouble: Callable[[], str] = lambda: ""
        self._first: Optional[IDelayedCall] = None
        self._last: Optional[IDelayedCall] = None

    def __repr__(self) -> str:
        return f"<Waiting {self.reason or 'for nothing'}>"

    @property
    def reason(self) -> str:
        """What is waited for, in one line; "" if nothing is."""
        if self.lacks is not None:
            return f"waiting for the bus: {self.lacks.problems[0]}"
        return "waiting for the bus" if self._first is not None else ""

    def begin(self, trouble: Callable[[], str], *, hold: bool) -> None:
        """Begin to wait.

        :param trouble: says why the bus cannot be read.
        :param hold: whether clients wait too.
        """
        self._trouble = trouble
        if hold:
            for port in self._ports():
                port.hold()
            self._first = self._clock.callLater(FIRST_READ, self._serve)
        if self.lacks is not None:
            self._last = self._clock.callLater(LACKING, self._too_late)

    def over(self) -> None:
        """What the bus has is in force."""
        if self.lacks is not None:
            log.info("the bus has what the files lack")
        self.lacks = None
        self._serve()
        self.stop()

    def stop(self) -> None:
        """Wait no longer."""
        for each in (self._first, self._last):
            if each is not None and each.active():
                each.cancel()
        self._first = self._last = None

    def _ports(self) -> list[Any]:
        return [port for each in self._world.listeners.values() for port in each.ports.values()]

    def _serve(self) -> None:
        if self._first is None:
            return
        if self._first.active():
            self._first.cancel()
        else:
            log.warn("the bus was not read within {limit:g} s; the files hold until it is", limit=FIRST_READ)
        self._first = None
        for port in self._ports():
            port.resume()

    def _too_late(self) -> None:
        self._last = None
        if self.lacks is not None:
            why = self._trouble() or "what Redis has does not help"
            self._give_up([*self.lacks.problems, Problem("redis", 0, 0, "", why)])
