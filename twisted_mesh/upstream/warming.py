"""The endpoints of a cluster that are new or back, and get their share of the calls little by little."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.interfaces import Env
from twisted_mesh.policy.slow_start import SlowStart
from twisted_mesh.upstream.endpoint import Endpoint

# In so many steps a share grows, but for steps of less than this; seconds.
STEPS = 20
SHORTEST = 0.1
# Seconds after the start of a cluster in which nobody is new, or back from where calls have put it.
BEGINNING = 10.0


class Warming:
    """Those of one cluster; `changed()` is called when their shares have grown.

    Who is there when the cluster begins, or comes within `BEGINNING` of that, has its whole share: otherwise a sidecar
    that starts would send nearly everything to what it has found first, or to what was checked first.  Nobody is new
    because of a reload.
    """

    def __init__(self, rule: SlowStart, env: Env, changed: Callable[[], None]) -> None:
        self._rule = rule
        self._env = env
        self._changed = changed
        self._began: Optional[float] = None
        self._running = False
        # All endpoints, those that must warm up once they can be used, and since when others do.
        self._met: set[Endpoint] = set()
        self._cold: set[Endpoint] = set()
        self._since: dict[Endpoint, float] = {}
        self._used: set[Endpoint] = set()
        self._timer: Optional[IDelayedCall] = None

    def __repr__(self) -> str:
        return f"<Warming {', '.join(each.address for each in self._since) or 'nobody'}>"

    def adopt(self, old: Warming) -> None:
        """Go on where the cluster before is.

        It may be asked again when this is in force at last: what only this one has met warms up already.
        """
        own = set[Endpoint]() if self._began is None else self._met - old._met
        self._began = old._began
        self._met = old._met | own
        self._cold, self._used = old._cold | (self._cold & own), old._used | (self._used & own)
        self._since = {**old._since, **{each: since for each, since in self._since.items() if each in own}}

    def start(self) -> None:
        """The cluster begins."""
        self._running = True
        if self._began is None:
            self._began = self._env.now()
        self._arm()

    def stop(self) -> None:
        """Shares grow no more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, endpoints: Sequence[Endpoint], usable: Sequence[Endpoint]) -> None:
        """There are these, and these can be used."""
        now = self._env.now()
        met, used = set(endpoints), set(usable)
        if self._began is not None and now - self._began >= BEGINNING:
            self._cold |= met - self._met
            self._cold |= self._used - used
        self._cold.update(each for each in endpoints if each.checked and not each.healthy)
        self._cold &= met
        for each in used & self._cold:
            self._since[each] = now
        self._cold -= used
        self._since = {each: since for each, since in self._since.items() if each in used}
        self._met, self._used = met, used
        self._arm()

    def weights(self, endpoints: Sequence[Endpoint]) -> Optional[list[float]]:
        """Return the weights that these have now; None if they are what is declared."""
        since, now, part = self._since, self._env.now(), self._rule.part
        if not since:
            return None
        return [each.weight * part(now - since[each]) if each in since else each.weight for each in endpoints]

    def describe(self) -> dict[str, float]:
        """The percentage of its weight that each has now, by address."""
        now = self._env.now()
        return {each.address: round(100.0 * self._rule.part(now - since), 1) for each, since in self._since.items()}

    def _arm(self) -> None:
        if self._since and self._timer is None and self._running:
            wait = max(self._rule.window / STEPS, SHORTEST)
            self._timer = self._env.clock.callLater(wait, self._step)

    def _step(self) -> None:
        self._timer = None
        now = self._env.now()
        self._since = {each: since for each, since in self._since.items() if now - since < self._rule.window}
        self._arm()
        self._changed()
