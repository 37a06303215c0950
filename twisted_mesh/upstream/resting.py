"""Endpoints that could not be connected to, and rest for a moment.

One that refuses connections never has a call in flight, so least request would take it first, again and again: with 3
of 10 down, one call in fifty used up its tries on them, and with one of two down five calls in six were sent twice.
"""

from __future__ import annotations

from typing import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.upstream.endpoint import Endpoint

# Seconds.  Short, for an endpoint that is just being started again; a call then finds out.  It doubles up to LONGEST
# while the endpoint fails again within that after it has rested.
REST = 0.1
LONGEST = 1.0


class Resting:
    """The endpoints of one cluster that rest; `changed()` is called when one begins to, and when one has rested."""

    def __init__(self, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._clock = clock
        # How long each rested last, and until when.
        self._last: dict[Endpoint, tuple[float, float]] = {}
        self._changed = changed
        self._timers: dict[Endpoint, IDelayedCall] = {}

    def __repr__(self) -> str:
        return f"<Resting {', '.join(each.address for each in self._timers) or 'nobody'}>"

    def add(self, endpoint: Endpoint) -> None:
        """Have `endpoint` rest."""
        if endpoint in self._timers:
            return
        now = self._clock.seconds()
        last, until = self._last.get(endpoint, (0.0, 0.0))
        rest = min(2 * last, LONGEST) if last and now - until <= LONGEST else REST
        self._last = {each: (length, end) for each, (length, end) in self._last.items() if now - end <= LONGEST}
        self._last[endpoint] = (rest, now + rest)
        self._timers[endpoint] = self._clock.callLater(rest, self._rested, endpoint)
        self._changed()

    def has(self, endpoint: Endpoint) -> bool:
        """Whether `endpoint` rests."""
        return endpoint in self._timers

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
        self._last.clear()

    def _rested(self, endpoint: Endpoint) -> None:
        del self._timers[endpoint]
        self._changed()
