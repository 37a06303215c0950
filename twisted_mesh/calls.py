"""The calls in flight of one listener, and how long their filters may take.

No call holds its place for ever, whatever its filters do: what waits too long is cancelled, what is cancelled and goes
on waiting is thrown at again, and what swallows even that is given up.
"""

from __future__ import annotations

from typing import Callable

from twisted.logger import Logger

from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.sweep import Sweep

# How long a cancelled filter may go on awaiting in its ``finally`` before it is thrown at again; seconds.
CLEANUP_LIMIT = 5.0
# How often it is thrown at, the first time included, before its call is given up.
THROWS = 3
# How long a request that is complete may wait in the filters before its route is known; seconds.  From there on the
# route's timeout counts.  More than any client waits for, and not for ever: nothing else bounds a filter that hangs.
UNROUTED_LIMIT = 60.0

Stuck = Callable[[Driver, str], None]

_log = Logger()


def _say(driver: Driver, what: str) -> None:
    _log.error("{driver!r}: {what}", driver=driver, what=what)


class CallTable:
    """The calls in flight of one listener, watched by the listener's one timer.

    The sweep cancels what has passed its route's timeout (`Cancelled` of `Kind.TIMEOUT`) or its caller's deadline
    (`Kind.DEADLINE`) or has no route after `UNROUTED_LIMIT`, throws again at cancelled chains that do not end, and
    gives up those that never will.

    :param stuck: told of every call that filters have held for too long, and how, while they still hold it.
    """

    __slots__ = ("__weakref__", "_now", "_stuck", "_sweep", "_thrown", "drivers")

    def __init__(self, now: Callable[[], float], sweep: Sweep, stuck: Stuck = _say) -> None:
        self._now = now
        self._sweep = sweep
        self._stuck = stuck
        self.drivers: set[Driver] = set()
        # How often those have been thrown at that did not end at the first time.
        self._thrown: dict[Driver, int] = {}
        sweep.add(self.look)

    def __len__(self) -> int:
        return len(self.drivers)

    def add(self, driver: Driver) -> None:
        """Watch over a call until `discard`."""
        if not self.drivers:
            self._sweep.wake()
        self.drivers.add(driver)

    def discard(self, driver: Driver) -> None:
        """The call's chain has ended."""
        self.drivers.discard(driver)

    def look(self) -> bool:
        """Look at every call once; returns whether there are any."""
        now = self._now()
        for driver in [each for each in self.drivers if _overdue(each, now)]:
            if driver.cancelled_at:
                self._again(driver, now)
                continue
            driver.cancelled_at = now
            call = driver.call
            if call.route is not None or call.timeout is not None:
                driver.cancel(Cancelled(Kind.DEADLINE if call.ends == call.deadline else Kind.TIMEOUT))
            else:
                what = f"no route after {UNROUTED_LIMIT:g} s in the filters"
                self._stuck(driver, what)
                driver.cancel(Cancelled(Kind.INTERNAL, what))
        if self._thrown:
            self._thrown = {driver: times for driver, times in self._thrown.items() if driver in self.drivers}
        return bool(self.drivers)

    def _again(self, driver: Driver, now: float) -> None:
        driver.cancelled_at = now
        times = self._thrown[driver] = self._thrown.get(driver, 1) + 1
        if times <= THROWS:
            driver.cancel(Cancelled(Kind.INTERNAL, "the filter did not end after it was cancelled"))
            return
        what = f"a filter was cancelled {THROWS} times and did not end"
        self._stuck(driver, what)
        driver.give_up(Cancelled(Kind.INTERNAL, what))

    def cancel(self, driver: Driver, reason: Cancelled) -> None:
        """Cancel one call, and see to it that it ends."""
        driver.cancelled_at = self._now()
        try:
            driver.cancel(reason)
        finally:
            del reason

    def cancel_all(self, kind: Kind) -> None:
        """Cancel every call in flight."""
        for driver in list(self.drivers):
            self.cancel(driver, Cancelled(kind))


def _overdue(driver: Driver, now: float) -> bool:
    if driver.cancelled_at:
        return now - driver.cancelled_at > CLEANUP_LIMIT
    call = driver.call
    if call.route is None and call.timeout is None:
        return call.received > 0.0 and now >= call.received + UNROUTED_LIMIT
    ends = call.ends
    return ends is not None and now >= ends
