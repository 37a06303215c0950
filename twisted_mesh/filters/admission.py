"""Refuses a share of the calls to what fails many of them, so that it can recover and nobody waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.overload import FAILED, cells, overloaded, went
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.units import Interval
from twisted_mesh.policy.admission import Admission, AdmissionRule


@dataclass(frozen=True)
class AdmissionSettings:
    """Refuses a growing share of the calls while less than `good` percent of those within `window` go well.

    The share is (n - ok / good) / (n + 1) for n calls that were sent, of which ok went well, raised to
    1 / `aggression`, and `most` percent at most.  Below `rate` calls a second nothing is refused.  Calls fail that have
    no answer or one of 5xx; TCP connections that are not made; Redis commands without a reply, or with one by which a
    server says that it can do nothing (LOADING, MASTERDOWN).  What a client gives up does not count, nor do replies of
    Redis that only say that no more can be written (OOM).  A refused HTTP call gets `status`.
    """

    good: float = 95.0
    window: Interval = 30.0
    most: float = 80.0
    aggression: float = 1.0
    rate: float = 0.0
    status: int = 503

    def __post_init__(self) -> None:
        if not 1 <= self.good <= 100:
            raise ValueError("good is from 1 to 100")
        if not 0 < self.most <= 100:
            raise ValueError("most is more than 0 and at most 100, or nothing would ever be refused")
        if self.aggression <= 0 or self.rate < 0:
            raise ValueError("aggression is more than 0, and rate 0 or more")
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")


class AdmissionControl:
    """Raises `MeshError` of `Kind.OVERLOADED` for calls that it refuses."""

    __slots__ = ("_admission", "_admitted", "_dice", "_now", "_refused", "_status")

    def __init__(self, settings: AdmissionSettings, env: Env) -> None:
        rule = AdmissionRule(settings.good, settings.window, settings.most, settings.aggression, settings.rate)
        self._admission = Admission(rule)
        self._status = settings.status
        self._dice = env.random.random
        self._now = env.now
        self._admitted, self._refused = cells(env)

    def __repr__(self) -> str:
        return f"<AdmissionControl {self._admission!r}>"

    def explain(self, call: Call) -> Explanation:
        """Say with what odds the call would be refused."""
        admission = self._admission
        chance = admission.chance(self._now())
        went = f"{admission.good} of the last {admission.calls} calls went well"
        return (
            Explanation("maybe", f"refused with {100 * chance:.0f} %: {went}") if chance else Explanation("pass", went)
        )

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        admission = self._admission
        now = self._now()
        chance = admission.chance(now)
        if chance and self._dice() < chance:
            self._refused.value += call.count
            detail = f"only {100 * admission.good // admission.calls} % of the last calls went well"
            raise overloaded(detail, self._status)
        self._admitted.value += call.count
        try:
            reply = await proceed(call)
        except MeshError as error:
            if error.kind in FAILED:
                admission.ended(False, self._now(), call.count)
            raise
        except Cancelled as cancelled:
            if cancelled.kind is Kind.TIMEOUT:
                admission.ended(False, self._now(), call.count)
            raise
        good, bad = went(call, reply)
        if good:
            admission.ended(True, self._now(), good)
        if bad:
            admission.ended(False, self._now(), bad)
        return reply


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "admission"
    settings = AdmissionSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: Any, env: Env) -> Filter:
        return AdmissionControl(settings, env)


plugin = _Plugin()
