"""What a sidecar admits of a shared limit while nobody tells it more: its share, the limit divided by their number."""

from __future__ import annotations

from typing import Optional

from twisted_mesh.interfaces import Env, SharedLimitLike
from twisted_mesh.metrics import Cell
from twisted_mesh.policy.gcra import Gcra, Verdict
from twisted_mesh.policy.rate_lease import RateLease

# Seconds between two log lines.
LOG_EVERY = 10.0


class Alone:
    """Decides by the share, and says so in the log when that begins and when it ends.

    :param cost: what a call usually costs; a share admits one at least.
    :param cell: counts the calls.
    """

    def __init__(self, limit: SharedLimitLike, gcra: Gcra, cost: int, env: Env, cell: Cell) -> None:
        self._limit = limit
        self._gcra = gcra
        self._cost = cost
        self._env = env
        self._cell = cell
        self._share: Optional[tuple[int, Gcra]] = None
        self._why = ""
        self._said_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Alone {self._why or 'no'}>"

    def decide(self, lease: RateLease, units: int) -> Verdict:
        """Admit a call or not."""
        if not self._limit.connected:
            self.because("Redis is away")
        self._cell.value += 1
        return lease.alone(units, self._own(units), self._env.now())

    def _own(self, units: int) -> Gcra:
        sidecars = self._limit.sidecars
        share = self._share
        if share is None or share[0] != sidecars:
            burst = max(self._cost, round(self._gcra.burst / sidecars))
            self._share = share = sidecars, Gcra(1.0, self._gcra.interval * sidecars, burst)
        # A call that costs more than the share must still pass.
        return share[1] if units <= share[1].burst else Gcra(1.0, share[1].interval, units)

    def because(self, why: str) -> None:
        """From now on this sidecar decides alone, and why; "" if it does not any more."""
        before, self._why = self._why, why
        if bool(before) == bool(why):
            return
        now = self._env.now()
        if now - self._said_at < LOG_EVERY:
            return
        self._said_at = now
        if why:
            self._env.log.warn(
                "{why}: of the shared limit {limit} one part in {sidecars} is admitted here until it answers",
                why=why,
                limit=self._limit.name,
                sidecars=self._limit.sidecars,
            )
        else:
            self._env.log.info("the limit {limit} is shared again", limit=self._limit.name)
