"""Filters that run for some calls only, or run beside their calls without touching them.

The chain does this, not the filter: any filter can be tried in ``mode: shadow`` before it is enforced, for a
percentage of the calls.
"""

from __future__ import annotations

import copy
from typing import Awaitable, Optional

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CLEANUP_LIMIT, THROWS
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.park import Parked
from twisted_mesh.policy.share import share
from twisted_mesh.stream import ByteStream

# How long a shadowed filter may go on after its call has ended; seconds.  The same as a route's default timeout: what
# takes longer would have cost the call its answer.
AFTERWARDS = 15.0
# Shadowed filters of one kind that may be at work at once; what comes on top is not shadowed, and counted.
MOST_TRIALS = 1000
# Seconds between two log lines of one filter.
LOG_EVERY = 1.0


class Sampled:
    """Enforces a filter for a percentage of the calls; the others pass it by."""

    __slots__ = ("_chosen", "_inner")

    def __init__(self, inner: Filter, percent: float, env: Env) -> None:
        self._inner = inner
        self._chosen = share(percent, env.random.random)

    def __repr__(self) -> str:
        return f"<Sampled {self._inner!r}>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if self._chosen():
            return self._inner(call, proceed)
        return proceed(call)


class _Seldom:
    """Lets one log line pass in `LOG_EVERY` seconds, so that a filter which is only tried costs no traffic its time."""

    def __init__(self, env: Env) -> None:
        self._now = env.now
        self._last: Optional[float] = None
        self._held = 0

    def more(self) -> Optional[int]:
        """Return how many lines were held back since the last one, or None if this one is to be, too."""
        now = self._now()
        if self._last is not None and now - self._last < LOG_EVERY:
            self._held += 1
            return None
        held, self._held, self._last = self._held, 0, now
        return held


class Shadow:
    """Runs a filter beside its calls, and records what it would have done to them.

    The filter gets a copy of the call; its `proceed` waits for the real reply and returns a copy of that.  The real
    call neither waits for the filter nor sees anything of it.  What the filter registers with ``on_complete`` runs when
    the real call completes.  A body that is still on its way is not shown: the copy has an empty one.

    The decision is ``refuse`` (it raised), ``reply`` (it answered without proceeding), ``change`` (it changed the call
    or the reply), ``pass``, ``error`` (it raised something unexpected), ``unfinished`` (it was still waiting
    `AFTERWARDS` seconds after its call) or ``skipped`` (`MOST_TRIALS` others were at work).
    """

    def __init__(self, inner: Filter, name: str, percent: float, env: Env) -> None:
        self.inner = inner
        self.name = name
        self.env = env
        self.active = 0
        self._families = Families(env.metrics)
        self._chosen = share(percent, env.random.random)
        self._decisions = _Seldom(env)
        self._failures = _Seldom(env)

    def __repr__(self) -> str:
        return f"<Shadow {self.inner!r}>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if not self._chosen():
            return proceed(call)
        if self.active >= MOST_TRIALS:
            self._count("skipped")
            return proceed(call)
        return self._beside(call, proceed)

    async def _beside(self, call: Call, proceed: Proceed) -> Reply:
        trial = _Trial(self, call)
        trial.start()
        try:
            reply = await proceed(call)
        except BaseException as error:
            trial.settle(None, error)
            raise
        trial.settle(reply, None)
        return reply

    def decided(self, call: Call, decision: str, why: str) -> None:
        """Count a decision, and log what is not a pass, though seldom."""
        self._count(decision)
        if decision == "pass":
            return
        more = self._decisions.more()
        if more is None:
            return
        self.env.log.info(
            "shadow: {name} would {decision} {call!r}: {why} ({more} more since the last line)",
            name=self.name,
            decision=decision,
            call=call,
            why=why or "-",
            more=more,
        )

    def failed(self, error: BaseException) -> None:
        """Count that the filter raised something unexpected, and log it, though seldom."""
        self._families.filter_errors.labels(self.name).value += 1
        more = self._failures.more()
        if more is not None:
            what = "shadow: {name} failed ({more} more since the last line)"
            self.env.log.failure(what, Failure(error), name=self.name, more=more)

    def _count(self, decision: str) -> None:
        self._families.filter_decisions.labels(self.name, "shadow", decision).value += 1


class _Trial:
    """One call beside which a filter runs."""

    __slots__ = (
        "_before",
        "_call",
        "_driver",
        "_error",
        "_proceeded",
        "_real",
        "_reply",
        "_shadow",
        "_thrown",
        "_timer",
        "_waiting",
    )

    def __init__(self, shadow: Shadow, real: Call) -> None:
        self._shadow = shadow
        self._real = real
        self._call = call = copy.copy(real)
        call.headers = real.headers.copy()
        call._context = None if real._context is None else dict(real._context)
        call._completions = None
        if isinstance(call.body, ByteStream):
            call.body = b""
        self._before = _looks(call)
        self._proceeded = False
        self._waiting: list[Parked[Reply]] = []
        # How the real call went, once that is known: one of these.
        self._reply: Optional[Reply] = None
        self._error: Optional[BaseException] = None
        self._timer: Optional[IDelayedCall] = None
        self._thrown = 0
        self._driver = Driver(call, self._ended)

    def start(self) -> None:
        self._shadow.active += 1
        self._real.on_complete(self._completed)
        self._driver.start(lambda call: self._shadow.inner(call, self._proceed))

    def settle(self, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        """The real call has its reply head, or failed: tell the filter."""
        self._reply, self._error = reply, error
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._tell(each)

    def _tell(self, parked: Parked[Reply]) -> None:
        if self._error is not None:
            parked.fail(self._error)
        else:
            assert self._reply is not None
            parked.fire(_copy(self._reply))

    def _proceed(self, call: Call) -> Awaitable[Reply]:
        self._proceeded = True
        parked: Parked[Reply] = Parked()
        if self._reply is None and self._error is None:
            self._waiting.append(parked)
        else:
            self._tell(parked)
        return parked

    # --- the filter has ended

    def _ended(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self._shadow.active -= 1
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        decision, why = self._decision(reply, error)
        self._shadow.decided(call, decision, why)
        if self._real.completed:
            self._complete()

    def _decision(self, reply: Optional[Reply], error: Optional[BaseException]) -> tuple[str, str]:
        if error is not None:
            if error is self._error:
                return "pass", ""
            if isinstance(error, Cancelled):
                return "unfinished", error.detail
            if isinstance(error, MeshError):
                return "refuse", str(error)
            self._shadow.failed(error)
            return "error", repr(error)
        if not self._proceeded:
            return "reply", repr(reply)
        changed = _looks(self._call) != self._before or _differs(reply, self._reply)
        return ("change" if changed else "pass"), ""

    # --- the real call has ended

    def _completed(self, real: Call) -> None:
        if self._driver.finished:
            self._complete()
            return
        if self._reply is None and self._error is None:
            self.settle(None, Cancelled(Kind.CLIENT_GONE))
        if not self._driver.finished:
            self._timer = self._shadow.env.clock.callLater(AFTERWARDS, self._give_up)

    def _give_up(self) -> None:
        reason = Cancelled(Kind.INTERNAL, f"still waiting {AFTERWARDS:g} s after its call")
        self._thrown += 1
        if self._thrown > THROWS:
            self._driver.give_up(reason)
            return
        self._driver.cancel(reason)
        if not self._driver.finished:
            self._timer = self._shadow.env.clock.callLater(CLEANUP_LIMIT, self._give_up)

    def _complete(self) -> None:
        """Both have ended: run what the filter registered."""
        real, call = self._real, self._call
        for name in _RESULTS:
            setattr(call, name, getattr(real, name))
        call.complete(real.ended, self._completion_failed)

    def _completion_failed(self, completion: object) -> None:
        self._shadow.env.log.failure("shadow: a completion of {name} failed", name=self._shadow.name)


# What a completion may want to know of how the call went.
_RESULTS = (
    "status",
    "details",
    "flags",
    "endpoint",
    "attempts",
    "tried",
    "connected",
    "head_at",
    "bytes_in",
    "bytes_out",
)


def _looks(call: Call) -> tuple[object, ...]:
    """What of a call counts as changed by a filter."""
    return (
        list(call.headers.fields),
        call.operation,
        call.host,
        call.target,
        call.resource,
        call.timeout,
        call.body,
    )


def _copy(reply: Reply) -> Reply:
    body = b"" if isinstance(reply.body, ByteStream) else reply.body
    shown = Reply(reply.status, reply.headers.copy(), body, reason=reply.reason, local=reply.local)
    shown.trailers = reply.trailers
    return shown


def _differs(reply: Optional[Reply], real: Optional[Reply]) -> bool:
    if reply is None or real is None:
        return True
    same_body = isinstance(real.body, ByteStream) or reply.body == real.body
    return reply.status != real.status or reply.headers.fields != real.headers.fields or not same_body
