"""Endpoints that could not be connected to, and rest for a moment.

One that refuses connections never has a call in flight, so least request would take it first, again and again: with 3
of 10 down, one call in fifty used up its tries on them, and with one of two down five calls in six were sent twice.
"""

from __future__ import annotations

from typing import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.upstream.endpoint import Endpoint

# Seconds.  Short enough for an endpoint that has just been started again; a call then finds out.
REST = 1.0


class Resting:
    """The endpoints of one cluster that rest; `changed()` is called when one begins to, and when one has rested."""

    def __init__(self, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._timers: dict[Endpoint, IDelayedCall] = {}

    def __repr__(self) -> str:
        return f"<Resting {', '.join(each.address for each in self._timers) or 'nobody'}>"

    def add(self, endpoint: Endpoint) -> None:
        """Have `endpoint` rest."""
        if endpoint not in self._timers:
            self._timers[endpoint] = self._clock.callLater(REST, self._rested, endpoint)
            self._changed()

    def awake(self, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return those that do not rest, or all if all do."""
        if not self._timers:
            return endpoints
        return [each for each in endpoints if each not in self._timers] or endpoints

    def stop(self) -> None:
        """Forget them."""
        for each in self._timers.values():
            each.cancel()
        self._timers.clear()

    def _rested(self, endpoint: Endpoint) -> None:
        del self._timers[endpoint]
        self._changed()
