"""Faults on purpose: calls that wait, calls that fail, to see what becomes of those who make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Awaitable, Mapping, Optional

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.fields import HeaderName, HeaderValue
from twisted_mesh.model.units import Interval
from twisted_mesh.policy.share import share

# Envoy's name for a call that was delayed on purpose.
DELAYED = "DI"


def _percent(percent: float) -> None:
    if not 0 <= percent <= 100:
        raise ValueError("percent is from 0 to 100")


@dataclass(frozen=True)
class DelaySettings:
    """Has `percent` of the calls wait for `time` before they go on."""

    time: Interval
    percent: float = 100.0

    def __post_init__(self) -> None:
        _percent(self.percent)


@dataclass(frozen=True)
class AbortSettings:
    """Answers `percent` of the calls with `status`; connections of TCP are closed."""

    status: int = 503
    percent: float = 100.0

    def __post_init__(self) -> None:
        _percent(self.percent)
        if not 400 <= self.status <= 599:
            raise ValueError("status is from 400 to 599")


@dataclass(frozen=True)
class FaultSettings:
    """Delays calls, or fails them, or both; the delay comes first.

    Only calls with all of `header` (exact values) get any, if there are such, and only those with one of the methods
    (or Redis commands) of `method`, if there are such.  No more than `max_active` calls wait at once; further ones go
    on without a fault, and are counted.
    """

    delay: Optional[DelaySettings] = None
    abort: Optional[AbortSettings] = None
    header: Mapping[HeaderName, HeaderValue] = field(default_factory=dict)
    method: tuple[str, ...] = ()
    max_active: int = 100

    def __post_init__(self) -> None:
        if self.delay is None and self.abort is None:
            raise ValueError("expected delay, abort or both")
        if self.max_active < 1:
            raise ValueError("max_active is 1 or more")


class Fault:
    """Raises `MeshError` of `Kind.FAULT` for calls that it fails, and flags those that it delays with ``DI``."""

    __slots__ = (
        "_aborted",
        "_aborts",
        "_active",
        "_delayed",
        "_delays",
        "_env",
        "_fields",
        "_methods",
        "_most",
        "_skipped",
        "_status",
        "_time",
    )

    def __init__(self, settings: FaultSettings, env: Env) -> None:
        delay, abort, dice = settings.delay, settings.abort, env.random.random
        self._delays = share(0.0 if delay is None else delay.percent, dice)
        self._time = 0.0 if delay is None else delay.time
        self._aborts = share(0.0 if abort is None else abort.percent, dice)
        self._status = 0 if abort is None else abort.status
        self._fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in settings.header.items()]
        self._methods = frozenset(each.upper() for each in settings.method)
        self._most = settings.max_active
        self._active = 0
        self._env = env
        families = Families(env.metrics)
        self._delayed, self._aborted, self._skipped = (
            families.faults.labels(env.name, each) for each in ("delay", "abort", "skipped")
        )

    def __repr__(self) -> str:
        return f"<Fault {self._active} waiting>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if not self._concerns(call):
            return proceed(call)
        if self._delays():
            if self._active < self._most:
                return self._late(call, proceed)
            self._skipped.value += 1
            return proceed(call)
        self._abort()
        return proceed(call)

    async def _late(self, call: Call, proceed: Proceed) -> Reply:
        self._delayed.value += 1
        call.flag(DELAYED)
        self._active += 1
        try:
            await self._env.sleep(self._time)
        finally:
            self._active -= 1
        self._abort()
        return await proceed(call)

    def _abort(self) -> None:
        if self._aborts():
            self._aborted.value += 1
            raise MeshError(Kind.FAULT, "a fault on purpose", status=self._status)

    def _concerns(self, call: Call) -> bool:
        if self._methods and call.operation not in self._methods:
            return False
        return all(call.headers.get_bytes(name) == value for name, value in self._fields)


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "fault"
    settings = FaultSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: Any, env: Env) -> Filter:
        return Fault(settings, env)


plugin = _Plugin()
