"""Faults on purpose: calls that wait, fail or are slow, to see what becomes of those who make them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Awaitable, Literal, Mapping, Optional

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Body, Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.filters.fault_pace import Paced
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed, Verdict
from twisted_mesh.model.fields import HeaderName, HeaderValue
from twisted_mesh.model.units import Interval, Size, duration_text, parse_duration, size_text
from twisted_mesh.policy.share import share
from twisted_mesh.stream import ByteStream

# Envoy's name for a call that was delayed on purpose.
DELAYED = "DI"
# By these a caller asks for a fault, where it may.
ASKS_DELAY = b"x-mesh-fault-delay"
ASKS_ABORT = b"x-mesh-fault-abort"


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
class BandwidthSettings:
    """Lets `rate` bytes a second through, for `percent` of the calls; each body has the rate for itself.

    `direction` says which way: response, request or both.  Connections that were upgraded are not slowed, and replies
    of Redis neither, as those of many calls share one connection.
    """

    rate: Size
    percent: float = 100.0
    direction: Literal["response", "request", "both"] = "response"

    def __post_init__(self) -> None:
        _percent(self.percent)
        if self.rate < 1:
            raise ValueError("rate is 1 or more bytes a second")


@dataclass(frozen=True)
class FaultSettings:
    """Delays calls, slows them or fails them; the delay comes first, and what fails is not slowed.

    Only calls with all of `header` (exact values) get any, if there are such, and only those with one of the methods
    (or Redis commands) of `method`, if there are such.  No more than `max_active` calls are held up at once; further
    ones go on without a fault, and are counted.  With `by_caller` only those get one that ask for it: with
    ``x-mesh-fault-delay: 250ms``, for no longer than `time`, or with ``x-mesh-fault-abort: 503``.
    """

    delay: Optional[DelaySettings] = None
    abort: Optional[AbortSettings] = None
    bandwidth: Optional[BandwidthSettings] = None
    header: Mapping[HeaderName, HeaderValue] = field(default_factory=dict)
    method: tuple[str, ...] = ()
    max_active: int = 100
    by_caller: bool = False

    def __post_init__(self) -> None:
        if self.delay is None and self.abort is None and self.bandwidth is None:
            raise ValueError("expected one or more of delay, abort and bandwidth")
        if self.by_caller and self.delay is None and self.abort is None:
            raise ValueError("by_caller is for delay and abort, of which there is none")
        if self.max_active < 1:
            raise ValueError("max_active is 1 or more")


class Fault:
    """Raises `MeshError` of `Kind.FAULT` for calls that it fails, and flags those that it delays with ``DI``."""

    __slots__ = (
        "_abort_cell",
        "_aborts",
        "_asked",
        "_bandwidth",
        "_delay_cell",
        "_delays",
        "_env",
        "_fields",
        "_held",
        "_methods",
        "_most",
        "_settings",
        "_skipped",
        "_slow_cell",
        "_slows",
        "_status",
        "_time",
    )

    def __init__(self, settings: FaultSettings, env: Env) -> None:
        delay, abort, slow, dice = settings.delay, settings.abort, settings.bandwidth, env.random.random
        self._delays = share(0.0 if delay is None else delay.percent, dice)
        self._time = 0.0 if delay is None else delay.time
        self._aborts = share(0.0 if abort is None else abort.percent, dice)
        self._status = 0 if abort is None else abort.status
        self._slows = share(0.0 if slow is None else slow.percent, dice)
        self._bandwidth = slow
        self._settings = settings
        self._asked = settings.by_caller
        self._fields = list(settings.header.items())
        self._methods = frozenset(each.upper() for each in settings.method)
        self._most = settings.max_active
        self._held: set[Call] = set()
        self._env = env
        families = Families(env.metrics)
        self._delay_cell, self._abort_cell, self._slow_cell, self._skipped = (
            families.faults.labels(env.name, each) for each in ("delay", "abort", "bandwidth", "skipped")
        )

    def __repr__(self) -> str:
        return f"<Fault {len(self._held)} held up>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if not self._concerns(call):
            return proceed(call)
        delay = self._time_of(call) if self._delays() else 0.0
        slow = self._bandwidth is not None and call.protocol != "redis" and self._slows()
        if not delay and not slow:
            return self._go_on(call, proceed)
        if len(self._held) >= self._most:
            self._skipped.value += 1
            return proceed(call)
        return self._held_up(call, proceed, delay, slow)

    def explain(self, call: Call) -> Explanation:
        """Say which faults the call is in for."""
        if not self._concerns(call):
            return Explanation("pass", "it is not meant")
        if len(self._held) >= self._most:
            return Explanation("pass", f"{len(self._held)} calls are held up already")
        parts = self._faults_of(call)
        why = ", ".join(f"{what} ({percent:g} %)" for _, percent, what in parts)
        if not parts:
            return Explanation("pass", "it asks for no fault")
        if any(verdict == "refuse" and percent >= 100.0 for verdict, percent, _ in parts):
            return Explanation("refuse", why)
        return Explanation("maybe" if any(percent < 100.0 for _, percent, _ in parts) else parts[0][0], why)

    def _faults_of(self, call: Call) -> list[tuple[Verdict, float, str]]:
        """Return what may happen to the call: as a verdict, to how many percent of such calls, and in words."""
        settings, found = self._settings, list[tuple[Verdict, float, str]]()
        late, status = self._time_of(call), self._status_of(call)
        if settings.delay is not None and late:
            found.append(("wait", settings.delay.percent, f"{duration_text(late)} late"))
        if settings.abort is not None and status:
            found.append(("refuse", settings.abort.percent, f"failed with {status}"))
        if settings.bandwidth is not None and call.protocol != "redis":
            found.append(("change", settings.bandwidth.percent, f"slowed to {size_text(settings.bandwidth.rate)}/s"))
        return found

    def _time_of(self, call: Call) -> float:
        """Return the seconds that the call waits if it is delayed."""
        if not self._asked:
            return self._time
        try:
            return min(self._time, parse_duration(_text(call, ASKS_DELAY) or 0))
        except ValueError:
            # Whoever mistypes a header gets no fault.
            return 0.0

    def _status_of(self, call: Call) -> int:
        """Return what the call is failed with, if it is; 0 if it asks for nothing."""
        if not self._asked:
            return self._status
        asked = _text(call, ASKS_ABORT)
        # Some characters of Latin-1 are digits as well, but for int().
        known = len(asked) == 3 and asked.isascii() and asked.isdigit() and "400" <= asked <= "599"
        return int(asked) if known else 0

    async def _held_up(self, call: Call, proceed: Proceed, delay: float, slow: bool) -> Reply:
        self._held.add(call)
        try:
            if delay:
                self._delay_cell.value += 1
                call.flag(DELAYED)
                await self._env.sleep(delay)
            if slow:
                self._abort(call)
        except BaseException:
            self._held.discard(call)
            raise
        if slow:
            call.on_complete(self._held.discard)
            return await self._slowly(call, proceed)
        self._held.discard(call)
        return await self._go_on(call, proceed)

    async def _slowly(self, call: Call, proceed: Proceed) -> Reply:
        slow = self._bandwidth
        assert slow is not None
        self._slow_cell.value += 1
        if slow.direction != "response" and call.body != b"":
            call.body = self._paced(call, call.body, slow.rate)
        reply = await proceed(call)
        if slow.direction != "request" and reply.body != b"":
            reply.body = self._paced(call, reply.body, slow.rate)
        return reply

    def _paced(self, call: Call, body: Body, rate: float) -> ByteStream:
        paced = Paced(body, rate, self._env)
        call.on_complete(lambda ended: paced.stop())
        return paced.out

    def _go_on(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        """Fail the call, or some of its commands, or let it pass."""
        if call.count == 1 or call.protocol != "redis" or self._asked:
            self._abort(call)
            return proceed(call)
        # Imported when it is first needed: most sidecars speak no Redis.
        from twisted_mesh.filters.redis_part import proceed_with

        several: Any = call
        names = [several.row(at).name for at in range(call.count)]
        passing = [not ((not self._methods or each in self._methods) and self._aborts()) for each in names]
        self._abort_cell.value += passing.count(False)
        return proceed_with(several, proceed, passing, _fault(self._status))

    def _abort(self, call: Call) -> None:
        status = self._status_of(call) if self._aborts() else 0
        if status:
            self._abort_cell.value += 1
            raise _fault(status)

    def _concerns(self, call: Call) -> bool:
        if self._methods and call.operation not in self._methods and not self._one_of_several(call):
            return False
        # Where a name stands several times one of its values has to be it, as in a route's match.
        return all(value in call.headers.get_all(name) for name, value in self._fields)

    def _one_of_several(self, call: Any) -> bool:
        """Whether one of the commands that travel together is meant; what is no Redis never is several."""
        return call.count > 1 and any(call.row(at).name in self._methods for at in range(1, call.count))


def _fault(status: int) -> MeshError:
    return MeshError(Kind.FAULT, "a fault on purpose", status=status)


def _text(call: Call, name: bytes) -> str:
    value = call.headers.get_bytes(name)
    return "" if value is None else value.decode("latin-1")


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "fault"
    settings = FaultSettings
    protocols = ("http", "tcp", "redis")

    def in_vain(self, settings: Any, protocol: str) -> list[str]:
        """Only HTTP has headers, a TCP connection has no method, and replies of Redis share their connections."""
        nothing = {"http": (), "tcp": ("header", "by_caller", "method"), "redis": ("header", "by_caller", "bandwidth")}
        abort = settings.abort
        status = protocol != "http" and abort is not None and abort.status != AbortSettings.status
        return [each for each in nothing[protocol] if getattr(settings, each)] + ["abort.status"] * status

    def build(self, settings: Any, env: Env) -> Filter:
        return Fault(settings, env)


plugin = _Plugin()
