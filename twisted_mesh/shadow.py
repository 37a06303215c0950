"""Filters that run for some calls only, or run beside their calls without touching them.

The chain does this, not the filter: any filter can be tried in ``mode: shadow`` before it is enforced, for a
percentage of the calls.
"""

from __future__ import annotations

from typing import Awaitable, Optional

from twisted.python.failure import Failure

from twisted_mesh.call import Call, Reply
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.policy.share import share
from twisted_mesh.shadow_trial import Trial

# Shadowed filters of one kind that may be at work at once; what comes on top is not shadowed, and counted.
MOST_TRIALS = 1000
# Seconds between two log lines of one filter.
LOG_EVERY = 1.0


class Sampled:
    """Enforces a filter for a percentage of the calls; the others pass it by."""

    __slots__ = ("_chosen", "inner", "percent")

    def __init__(self, inner: Filter, percent: float, env: Env) -> None:
        self.inner = inner
        self.percent = percent
        self._chosen = share(percent, env.random.random)

    def __repr__(self) -> str:
        return f"<Sampled {self.inner!r}>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if self._chosen():
            return self.inner(call, proceed)
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


def _and_more(held: int) -> str:
    return f" ({held} more since the last line)" if held else ""


class Shadow:
    """Runs a filter beside its calls, and records what it would have done to them.

    The filter gets a copy of the call; its `proceed` waits for the real reply and returns a copy of that.  The real
    call neither waits for the filter nor sees anything of it.  What the filter registers with ``on_complete`` runs when
    the real call completes.  A body that is still on its way is not shown: the copy has an empty one.

    The decision is counted, and what is not a pass stands in the call's access log line, in ``extra.shadow`` under the
    filter's name, if it is known by then; ``wait`` if the filter has not let the call go on yet.
    It is ``refuse`` (it raised), ``reply`` (it answered without proceeding), ``change`` (it changed the call or the
    reply), ``repeat`` (it proceeded more than once; it got the same reply each time), ``wait`` (it let the call wait
    for more than `shadow_trial.HELD_UP` seconds), ``pass``, ``error`` (it raised something unexpected), ``unfinished``
    (it was still waiting `shadow_trial.AFTERWARDS` seconds after its call) or ``skipped`` (`MOST_TRIALS` others were at
    work).
    """

    def __init__(self, inner: Filter, name: str, percent: float, env: Env) -> None:
        self.inner = inner
        self.name = name
        self.percent = percent
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
            self._count("skipped", call)
            return proceed(call)
        return self._beside(call, proceed)

    async def _beside(self, call: Call, proceed: Proceed) -> Reply:
        trial = Trial(self, call)
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
        self._count(decision, call)
        if decision == "pass":
            return
        more = self._decisions.more()
        if more is None:
            return
        self.env.log.info(
            "shadow: {name} would {decision} {call!r}: {why}{more}",
            name=self.name,
            decision=decision,
            call=call,
            why=why or "-",
            more=_and_more(more),
        )

    def failed(self, error: BaseException) -> None:
        """Count that the filter raised something unexpected, and log it, though seldom."""
        self._families.filter_errors.labels(self.name).value += 1
        more = self._failures.more()
        if more is not None:
            self.env.log.failure("shadow: {name} failed{more}", Failure(error), name=self.name, more=_and_more(more))

    def _count(self, decision: str, call: Call) -> None:
        self._families.filter_decisions.labels(self.name, "shadow", decision).value += call.count
