"""Another try beside one that takes long: the first good answer is the call's, and the other try is stopped.

Made by `retry` where it has a `hedge`.  "The Tail at Scale" (Dean and Barroso, 2013) calls it a hedged request: begun
after the 95th percentile of the latencies, it adds 5 % of load and takes most of the slow tail away.

A call of a route with hedges costs 6 us more than without, as its tries run in drivers of their own and a timer waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Awaitable, Optional

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.filters.attempt import Attempt
from twisted_mesh.interfaces import Env, Explanation, Proceed
from twisted_mesh.model.units import Interval
from twisted_mesh.park import Parked
from twisted_mesh.policy.quantile import Quantile

if TYPE_CHECKING:
    from twisted_mesh.filters.again import Again, Permit


@dataclass(frozen=True)
class HedgeSettings:
    """Another try begins when one has taken `after`, or longer than `percentile` percent of those of late; of both the
    longer.  `most` of them are begun beside the first."""

    after: Optional[Interval] = None
    percentile: Optional[float] = None
    most: int = 1

    def __post_init__(self) -> None:
        if self.after is None and self.percentile is None:
            raise ValueError("expected after, percentile or both")
        if self.percentile is not None and not 0 < self.percentile < 100:
            raise ValueError("expected a percentile between 0 and 100")
        if self.most < 1:
            raise ValueError("expected most to be 1 or more")


class Hedge:
    """Begins more tries beside those of a call that take long, of what may be done twice and has a body that is whole.

    They count as tries and as retries: `Again` has to admit them, by the attempts, the budget and the places of the
    cluster.
    """

    def __init__(self, settings: HedgeSettings, again: Again, env: Env) -> None:
        self.env = env
        self.again = again
        self.most = settings.most
        self._after = settings.after or 0.0
        self._latency = None if settings.percentile is None else Quantile(settings.percentile / 100.0)
        self._hedges = Families(env.metrics).upstream_hedges

    def explain(self, call: Call) -> Explanation:
        """Say when another try would begin beside the first."""
        delay = self._delay()
        if delay is None or not _may_run_twice(call):
            return Explanation("pass", "no try beside the first")
        return Explanation("pass", f"another try begins beside one that takes {delay:.3g} s")

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        delay = self._delay()
        if delay is None or not _may_run_twice(call):
            return proceed(call) if self._latency is None else self._timed(call, proceed)
        return _Race(self, call, proceed, delay).run()

    def _delay(self) -> Optional[float]:
        if self._latency is None:
            return self._after
        estimate = self._latency.estimate(self.env.now())
        return None if estimate == math.inf else max(self._after, estimate)

    async def _timed(self, call: Call, proceed: Proceed) -> Reply:
        """Send a call that is not hedged, and see how long that takes."""
        began = self.env.now()
        reply = await proceed(call)
        self.took(self.env.now() - began)
        return reply

    def took(self, seconds: float) -> None:
        """A try has taken so long, or longer: it was stopped as another was faster."""
        if self._latency is not None:
            self._latency.observe(seconds, self.env.now())

    def count(self, call: Call, result: str) -> None:
        """Count a try that was begun beside another: won, lost (the first was faster), failed."""
        cluster = call.cluster.name if call.cluster is not None else "-"
        self._hedges.labels(call.protocol, cluster, result).value += 1


def _may_run_twice(call: Call) -> bool:
    # A TCP call has sent nothing before it is connected, whatever its body does.
    return call.idempotent and not call.upgrade and (isinstance(call.body, bytes) or call.protocol == "tcp")


class _Race:
    """The tries of one call that are under way side by side.

    The first is of the call itself, the others are of copies: what one try notes on its call must not be taken for
    another's.  What the winner noted becomes the call's.
    """

    __slots__ = (
        "_began",
        "_call",
        "_delay",
        "_hedge",
        "_parked",
        "_permits",
        "_proceed",
        "_running",
        "_sent",
        "_timer",
    )

    def __init__(self, hedge: Hedge, call: Call, proceed: Proceed, delay: float) -> None:
        self._hedge = hedge
        self._call = call
        self._proceed = proceed
        self._delay = delay
        self._sent = call.attempts
        self._parked: Parked[Attempt] = Parked()
        self._running: list[Attempt] = []
        self._permits: dict[Attempt, Permit] = {}
        self._began: dict[Attempt, float] = {}
        self._timer: Optional[IDelayedCall] = None

    async def run(self) -> Reply:
        kind = Kind.CLIENT_GONE
        try:
            self._begin(Attempt(self._call))
            if not self._parked.done:
                self._timer = self._hedge.env.clock.callLater(self._delay, self._another)
            winner = await self._parked
        except Cancelled as cancelled:
            kind = cancelled.kind
            raise
        finally:
            timer, self._timer = self._timer, None
            if timer is not None and timer.active():
                timer.cancel()
            for each in [*self._running]:
                self._stop(each, kind)
        self._adopt(winner)
        return winner.result()

    def _begin(self, attempt: Attempt) -> None:
        self._running.append(attempt)
        self._began[attempt] = self._hedge.env.now()
        attempt.start(self._proceed, self._ended)

    def _another(self) -> None:
        """What is under way takes long."""
        call, hedge = self._call, self._hedge
        # It holds this, too: no call leaves a cycle behind.
        self._timer = None
        if self._parked.done or call.attempts == self._sent:
            # It has ended, or waits for room in the cluster, which another would only fill.
            return
        permit = hedge.again.hedge(call, call.attempts)
        if permit is None:
            return
        if not call.repeats():
            # Of two commands of Redis the first must not see what the second has written.
            permit.end()
            return
        for each in self._running:
            endpoint = each.call.endpoint
            if endpoint is not None and endpoint not in call.tried:
                call.tried += (endpoint,)
        hedge.again.begins(call)
        attempt = Attempt(_copied(call))
        self._permits[attempt] = permit
        if len(self._permits) < hedge.most:
            self._timer = hedge.env.clock.callLater(self._delay, self._another)
        call.attempts += 1
        self._begin(attempt)

    def _ended(self, attempt: Attempt) -> None:
        self._running.remove(attempt)
        won = self._good(attempt) and not self._parked.done
        self._leave(attempt, "won" if won else "failed")
        if won:
            self._hedge.took(self._hedge.env.now() - self._began[attempt])
        if won or (not self._running and not self._parked.done):
            self._parked.fire(attempt)
            return
        # Another one is still under way, and may do better; or has done so already.
        attempt.drop()
        _settle(self._hedge.env, self._call, attempt.call)

    def _good(self, attempt: Attempt) -> bool:
        """Whether this is the call's answer while another may still come: a reply, or what nobody expects."""
        if attempt.reply is not None:
            return not self._hedge.again.worth(self._call, attempt.reply)
        return not isinstance(attempt.error, MeshError)

    def _stop(self, attempt: Attempt, kind: Kind) -> None:
        """Another was faster, or nobody waits any more."""
        self._running.remove(attempt)
        took = self._hedge.env.now() - self._began[attempt]
        if took >= self._delay:
            # Of what was stopped sooner nothing is known.
            self._hedge.took(took)
        attempt.stop(kind)
        self._leave(attempt, "lost")
        _settle(self._hedge.env, self._call, attempt.call)

    def _leave(self, attempt: Attempt, result: str) -> None:
        permit = self._permits.get(attempt)
        if permit is not None:
            permit.end()
            self._hedge.count(self._call, result)

    def _adopt(self, winner: Attempt) -> None:
        """Have the call as the try left it that it gets its answer from."""
        call, copied = self._call, winner.call
        if copied is call:
            return
        for name in _RESULTS:
            setattr(call, name, getattr(copied, name))
        for flag in copied.flags:
            call.flag(flag)
        env = self._hedge.env
        call.on_complete(lambda ended: _settle(env, ended, copied))


# What a try leaves on its call for others to see; `attempts` are counted for all tries together.
_RESULTS = ("cluster", "endpoint", "connected", "_context")


def _copied(call: Call) -> Call:
    copied = call.twin()
    # Of a TCP call: it is not touched before one of the tries is connected.
    copied.body = call.body
    copied.on_interim = None
    return copied


def _settle(env: Env, call: Call, copied: Call) -> None:
    """A copy has ended with its call, or is of no use to it: run what was to happen at its end."""
    if copied is not call:
        copied.complete(env.now(), lambda completion: env.log.failure("a completion of {call!r} failed", call=copied))
