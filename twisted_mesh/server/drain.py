"""The end of a process that serves: stop taking calls, let those in flight end, then go.

First /ready fails and answers say ``Connection: close``, while everything else goes on for `wait` seconds, so that
whoever sends traffic here can notice.  Then the listeners stop accepting and what is idle closes: by then, few clients
that send often are on connections that would close under a request.  The process ends when the last connection has
gone, or `limit` seconds after the drain began.
"""

from __future__ import annotations

from typing import Callable, Optional, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

# Seconds between two looks whether all is done.
LOOK = 0.02

log = Logger("twisted_mesh.drain")


class Drainable(Protocol):
    """What is drained: all the listeners of a process."""

    def announce(self) -> None:
        """Tell clients, where the protocol can, that their connections will close."""

    def stop_accepting(self) -> None:
        """Accept what waits, then close the listening sockets."""

    def drain(self) -> None:
        """Answer what is in flight, close what is idle."""

    def close_all(self) -> None:
        """End every connection now."""

    @property
    def connections(self) -> int:
        """How many are open."""

    @property
    def active(self) -> int:
        """How many calls are in flight."""


class Drain:
    """Drains once.  `finished(status)` is called once, with the exit status: 0, or 1 if calls were cut."""

    def __init__(self, what: Drainable, clock: IReactorTime, finished: Callable[[int], None]) -> None:
        self._what = what
        self._clock = clock
        self._finished: Optional[Callable[[int], None]] = finished
        self._timer: Optional[IDelayedCall] = None
        self._until = 0.0
        self.begun = False

    def begin(self, reason: str, *, limit: float, wait: float) -> None:
        """Start draining; only the first call does."""
        if self.begun:
            return
        self.begun = True
        self._until = self._clock.seconds() + limit
        log.info(
            "draining ({reason}): {connections} connections, {active} calls in flight; at most {limit:g} s",
            reason=reason,
            connections=self._what.connections,
            active=self._what.active,
            limit=limit,
        )
        self._what.announce()
        self._timer = self._clock.callLater(min(wait, limit), self._close_doors)

    def end_now(self, reason: str) -> None:
        """Cut what is left and finish; that is a failure if calls were in flight."""
        if self._finished is not None:
            self._cut(reason, 1 if self._what.active else 0)

    def _cut(self, reason: str, status: int) -> None:
        log.warn(
            "ending ({reason}) with {connections} connections and {active} calls in flight",
            reason=reason,
            connections=self._what.connections,
            active=self._what.active,
        )
        self._what.close_all()
        self._finish(status)

    def _close_doors(self) -> None:
        self._what.stop_accepting()
        self._what.drain()
        self._timer = self._clock.callLater(LOOK, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._what.connections == 0:
            self._finish(0)
        elif self._clock.seconds() >= self._until:
            self._cut("the drain limit is reached", 1)
        else:
            self._timer = self._clock.callLater(LOOK, self._look)

    def _finish(self, status: int) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        finished, self._finished = self._finished, None
        if finished is not None:
            log.info("drained" if status == 0 else "not drained")
            finished(status)
