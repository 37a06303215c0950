"""When an endpoint counts as healthy, and which endpoints of a cluster take calls.

An endpoint is in one of three states.  *Unchecked*: its cluster checks and no result is known yet, or its cluster does
not check at all.  *Healthy* and *unhealthy* are what checks have found.
"""

from __future__ import annotations

from typing import Protocol, Sequence, TypeVar


class Condition(Protocol):
    """What is known of an endpoint: whether any check has ended, and what the checks found."""

    checked: bool
    healthy: bool


E = TypeVar("E", bound=Condition)


class Tally:
    """Counts the results of one endpoint's checks.

    The first result after the start decides at once, either way, so that an endpoint which is up serves after one
    check and one which is down costs no more calls.  Afterwards it takes `rise` successes in a row to become healthy
    and `fall` failures in a row to become unhealthy.
    """

    __slots__ = ("fall", "healthy", "rise", "run")

    def __init__(self, rise: int, fall: int, healthy: bool | None = None) -> None:
        self.rise = rise
        self.fall = fall
        self.healthy = healthy
        self.run = 0

    def __repr__(self) -> str:
        state = "unchecked" if self.healthy is None else "healthy" if self.healthy else "unhealthy"
        return f"<Tally {state} against={self.run}>"

    def add(self, success: bool) -> bool:
        """Take in one result; returns whether the state changed."""
        if self.healthy is None:
            self.healthy = success
            return True
        if success == self.healthy:
            self.run = 0
            return False
        self.run += 1
        if self.run < (self.rise if success else self.fall):
            return False
        self.healthy = success
        self.run = 0
        return True


def usable(endpoints: Sequence[E], panic_threshold: float) -> tuple[tuple[E, ...], bool]:
    """Return the endpoints that take calls, and whether the cluster panics.

    Those found healthy take calls, unless their share among the checked ones is below `panic_threshold` percent: then
    so much seems to be down that the checks are doubted, or the few that are left would be run over, and all take
    calls (Envoy's panic mode).  0 percent never panics, and leaves nobody when none is healthy.

    Unchecked endpoints wait for their first result while a healthy one can do the work, and are left out of the
    share; they take calls when nothing healthy is known.
    """
    checked = [each for each in endpoints if each.checked]
    healthy = [each for each in checked if each.healthy]
    if healthy and len(healthy) * 100 >= panic_threshold * len(checked):
        return tuple(healthy), False
    if not healthy:
        fresh = [each for each in endpoints if not each.checked]
        if fresh or panic_threshold <= 0:
            return tuple(fresh), False
    return tuple(endpoints), bool(endpoints)
