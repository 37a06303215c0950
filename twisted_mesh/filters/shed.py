"""Refuses calls while the sidecar itself has more to do than it can: those of low priority first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable, Optional

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.filters.overload import cells, overloaded
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.units import Interval, Size
from twisted_mesh.policy.shedding import PRIORITIES, Limits, refused


@dataclass(frozen=True)
class ShedSettings:
    """Refuses a growing share of the calls while the event loop is behind or the process holds much memory.

    `lag` is how late the loop may be (the median of five looks, one every 50 ms): of calls with the priority default
    the first are refused from there on, and all from twice of it; of those with low from half of it on, and all from
    there; of high from twice to four times of it.  `memory` is the resident memory that the process may hold: of low
    the first are refused from 80 % of it on and all from 90 %, of default from 90 % to 100 %, of high from 95 % to
    105 %.  Priorities are those of routes.  In a listener's filters it acts for all routes, once the route is known.  A
    refused HTTP call gets `status`; TCP connections are closed.
    """

    lag: Optional[Interval] = 0.1
    memory: Optional[Size] = None
    status: int = 503

    def __post_init__(self) -> None:
        if self.lag is None and self.memory is None:
            raise ValueError("expected lag, memory or both")
        if self.memory is not None and self.memory < 1:
            raise ValueError("memory is more than 0")
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")


class Shed:
    """Raises `MeshError` of `Kind.OVERLOADED` for calls that it refuses."""

    __slots__ = ("_admitted", "_dice", "_limits", "_refused", "_shares", "_status", "_strain", "_turn", "_why")

    def __init__(self, settings: ShedSettings, env: Env) -> None:
        self._limits = Limits(settings.lag, settings.memory)
        self._status = settings.status
        self._strain = env.strain
        self._dice = env.random.random
        self._turn = -1
        # The share of the calls to refuse by priority, as of that turn; and for which limit.
        self._shares: dict[int, float] = {}
        self._why: dict[int, str] = {}
        self._admitted, self._refused = cells(env)

    def __repr__(self) -> str:
        return f"<Shed {self._strain!r}>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        strain = self._strain
        strain.ask()
        if strain.turn != self._turn:
            self._look()
        share = self._shares[call.priority]
        if share and self._dice() < share:
            self._refused.value += call.count
            raise overloaded(self._why[call.priority], self._status)
        self._admitted.value += call.count
        return proceed(call)

    def explain(self, call: Call) -> Explanation:
        """Say with what odds the call would be refused, by what was measured last."""
        strain = self._strain
        share, limit = refused(call.priority, strain.lag, strain.memory, self._limits)
        seen = f"{strain.lag * 1e3:.0f} ms late, {strain.memory >> 20} MiB in use"
        if not share:
            return Explanation("pass", seen)
        return Explanation(
            "refuse" if share >= 1.0 else "maybe", f"refused with {100 * share:.0f} % by {limit}: {seen}"
        )

    def _look(self) -> None:
        strain = self._strain
        self._turn = strain.turn
        for priority in PRIORITIES.values():
            share, limit = refused(priority, strain.lag, strain.memory, self._limits)
            self._shares[priority] = share
            seen = f"{strain.lag * 1e3:.0f} ms late" if limit == "lag" else f"{strain.memory >> 20} MiB in use"
            self._why[priority] = f"the sidecar sheds load: {seen}"


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "shed"
    settings = ShedSettings
    protocols = ("http", "tcp", "redis")
    # Priorities are those of routes.
    after_routing = True

    def build(self, settings: Any, env: Env) -> Filter:
        return Shed(settings, env)


plugin = _Plugin()
