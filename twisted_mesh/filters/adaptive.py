"""A limit of calls in flight that finds itself: as many as the upstream answers without a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.filters.overload import FAILED, cells, overloaded, went
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.units import Interval
from twisted_mesh.policy.gradient import Gradient, GradientRule


@dataclass(frozen=True)
class AdaptiveSettings:
    """Refuses calls above a limit of calls in flight that follows latency, between `least` and `most`.

    Every `interval` the limit is multiplied by the ideal latency, and a `buffer` of it more, over the `percentile` of
    the latencies of late, and its own root is added; it grows only while it is used.  The ideal is measured with
    `least` calls at once, from `samples` calls: at the start, every `every` (up to a share `jitter` later), and when
    the limit has stayed at its least.  What comes meanwhile above `least` is refused, so try `mode: shadow` first.
    Latency is the time to the head of a reply, for TCP to connected, and so long a call counts; what follows, and Redis
    commands that wait or belong to a session, may take as long as they like.  A refused HTTP call gets `status`.
    """

    least: int = 3
    most: int = 1000
    buffer: float = 0.25
    percentile: float = 50.0
    interval: Interval = 0.1
    every: Interval = 60.0
    samples: int = 50
    jitter: float = 0.15
    status: int = 503

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError("least is 1 or more, and no more than most")
        if self.buffer < 0 or not 0 <= self.jitter <= 1:
            raise ValueError("buffer is 0 or more, and jitter from 0 to 1")
        if not 0 < self.percentile < 100:
            raise ValueError("percentile is between 0 and 100")
        if not 1 <= self.samples <= 1000:
            raise ValueError("samples is from 1 to 1000")
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")


class Adaptive:
    """Raises `MeshError` of `Kind.OVERLOADED` for calls above the limit."""

    __slots__ = ("_active", "_admitted", "_gradient", "_ideal", "_limit", "_now", "_refused", "_status")

    def __init__(self, settings: AdaptiveSettings, env: Env) -> None:
        rule = GradientRule(
            settings.least,
            settings.most,
            settings.buffer,
            settings.percentile,
            settings.interval,
            settings.every,
            settings.samples,
            settings.jitter,
        )
        self._now = env.now
        self._gradient = Gradient(rule, env.random.random, env.now())
        self._active = 0
        self._status = settings.status
        self._admitted, self._refused = cells(env)
        families = Families(env.metrics)
        self._limit, self._ideal = (
            each.labels(env.name) for each in (families.adaptive_limit, families.adaptive_ideal)
        )
        self._show()

    def __repr__(self) -> str:
        return f"<Adaptive {self._active} in flight, {self._gradient!r}>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        # How long such a command takes is not the server's doing, and says nothing of it.
        waits = call.protocol == "redis" and getattr(call, "session", None) is not None
        return proceed(call) if waits else self._limited(call, proceed)

    def explain(self, call: Call) -> Explanation:
        """Say whether there is room for the call."""
        gradient = self._gradient
        seen = f"{self._active} in flight, {gradient.limit} may be" + (" while measuring" if gradient.measuring else "")
        return Explanation("pass" if self._active < gradient.limit else "refuse", seen)

    async def _limited(self, call: Call, proceed: Proceed) -> Reply:
        gradient = self._gradient
        if self._active >= gradient.limit:
            self._refused.value += call.count
            raise overloaded(f"{self._active} calls in flight, {gradient.limit} may be now", self._status)
        self._admitted.value += call.count
        self._active += 1
        began = self._now()
        gradient.begun(self._active, began)
        try:
            reply = await proceed(call)
        except (MeshError, Cancelled) as error:
            self._failed(error.kind, began)
            raise
        finally:
            self._active -= 1
        now = self._now()
        # What is refused at once says nothing of how long work takes.
        if went(call, reply)[0] == call.count:
            gradient.ended(now - began, now)
        else:
            gradient.failed(now)
        self._show()
        return reply

    def _failed(self, kind: Kind, began: float) -> None:
        now = self._now()
        if kind in (Kind.TIMEOUT, Kind.TRY_TIMEOUT):
            # It would have taken longer still.
            self._gradient.ended(now - began, now)
        elif kind in FAILED:
            self._gradient.failed(now)
        self._show()

    def _show(self) -> None:
        self._limit.value = self._gradient.limit
        self._ideal.value = self._gradient.ideal


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "adaptive"
    settings = AdaptiveSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: Any, env: Env) -> Filter:
        return Adaptive(settings, env)


plugin = _Plugin()
