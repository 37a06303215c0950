"""Which endpoints of a cluster are left out for what calls have shown of them, and how they come back."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.call import Call
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.agreement import Agreement
from twisted_mesh.policy.breaker import Breaker, State
from twisted_mesh.policy.ewma import PeakEwma
from twisted_mesh.policy.outlier import Tally, look, may_eject
from twisted_mesh.sweep import Sweep
from twisted_mesh.upstream.conduct import Conduct
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.services import Verdicts
from twisted_mesh.upstream.shared_conduct import SharedConduct
from twisted_mesh.upstream.watched import BREAKER, OUTLIER, Watched

# Seconds after which a probe that has not ended is given up, and another call may find out.
_PROBE_LIMIT = 30.0


class Conducts:
    """The conduct of the endpoints of one cluster.

    `changed()` is called when other endpoints than before may be used.

    :param verdicts: what sidecars tell each other; None where there is no Redis.
    """

    def __init__(
        self,
        cluster: str,
        env: Env,
        watched: Watched,
        changed: Callable[[], None],
        verdicts: Optional[Verdicts] = None,
    ) -> None:
        self.outlier = watched.outlier
        self._cluster = cluster
        self._env = env
        self._watched = watched
        self._changed = changed
        self._known: dict[Conduct, Endpoint] = {}
        self._timers: dict[tuple[Conduct, str], IDelayedCall] = {}
        self._running = False
        families = Families(env.metrics)
        self._ejections = {each: families.ejections.labels(cluster, each) for each in (BREAKER, OUTLIER)}
        self._ejected = {each: families.ejected.labels(cluster, each) for each in (BREAKER, OUTLIER)}
        self._spared = families.ejections_refused.labels(cluster)
        self._sweep = Sweep(env.clock, watched.outlier.interval) if watched.outlier is not None else None
        if self._sweep is not None:
            self._sweep.add(self._look)
        self._learnt = {each: families.ejections_learnt.labels(cluster, each) for each in watched.shared}
        self._shared: Optional[SharedConduct] = None
        if watched.shared and verdicts is not None:
            self._shared = SharedConduct(cluster, env, watched.shared, verdicts, self._learn)

    def __repr__(self) -> str:
        return f"<Conducts of {len(self._known)} in {self._cluster}>"

    # --- for the cluster

    def tend(self, endpoints: Sequence[Endpoint]) -> None:
        """Watch exactly these; what was learnt of one stays as long as it is asked for."""
        self._running = True
        if self._watched == Watched():
            for each in endpoints:
                each.conduct = None
            return
        known = {self.of(each): each for each in endpoints}
        for key in [each for each in self._timers if each[0] not in known]:
            self._timers.pop(key).cancel()
        self._known = known
        for conduct in known:
            conduct.watcher = self
            self._arm(conduct)
        self._count()
        if self._shared is not None:
            self._shared.start()
            self._shared.look()

    def stop(self) -> None:
        """Watch nobody any more."""
        self._running = False
        for each in self._timers.values():
            each.cancel()
        self._timers.clear()
        if self._shared is not None:
            self._shared.stop()
        if self._sweep is not None:
            self._sweep.stop()

    def latencies(self, endpoints: Sequence[Endpoint]) -> list[PeakEwma]:
        """Return the latency of each."""
        found = []
        for each in endpoints:
            conduct = each.conduct
            if conduct is None:
                each.conduct = conduct = Conduct(each.address, self._env, self)
            if conduct.latency is None:
                conduct.latency = PeakEwma(self._env.now())
            found.append(conduct.latency)
        return found

    def of(self, endpoint: Endpoint) -> Conduct:
        """Return the conduct of an endpoint, made as it has to be here."""
        conduct = endpoint.conduct
        if conduct is None:
            endpoint.conduct = conduct = Conduct(endpoint.address, self._env, self)
        watched = self._watched
        if not watched.latency:
            conduct.latency = None
        elif conduct.latency is None:
            conduct.latency = PeakEwma(self._env.now())
        if watched.breaker is None:
            conduct.breaker = None
        elif conduct.breaker is None or conduct.breaker.rule != watched.breaker:
            conduct.breaker = Breaker(watched.breaker, self._env.random.random)
        if watched.outlier is None:
            conduct.tally = None
        elif conduct.tally is None:
            conduct.tally = Tally()
        return conduct

    def admitted(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """Return those that may be used.

        Outliers are better than nobody; endpoints whose breakers are open are not.
        """
        if self._watched.breaker is None and self._watched.outlier is None:
            return tuple(endpoints)
        closed = [each for each in endpoints if not self._is_shut(each)]
        return tuple([each for each in closed if not self._is_ejected(each)] or closed)

    def offered(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """Return those to which one call may be sent as a probe."""
        if self._watched.breaker is None:
            return []
        return [each for each in endpoints if each.conduct is not None and each.conduct.offered]

    def probe(self, endpoint: Endpoint, call: Call) -> None:
        """`call` is sent to find out whether an endpoint is well again."""
        conduct = endpoint.conduct
        assert conduct is not None and conduct.breaker is not None
        conduct.probe = call
        if self._running:
            timer = self._env.clock.callLater(_PROBE_LIMIT, self._probe_is_late, conduct)
            self._timers[conduct, BREAKER] = timer
            # It may end on its way, before the endpoint has seen anything of it.
            call.on_complete(lambda call: self._probe_is_over(conduct, timer))
        self._changed()

    def trouble(self, endpoints: Sequence[Endpoint]) -> str:
        """Return why none of these takes calls as far as it is their conduct; "" if it is something else."""
        held = [] if self._watched == Watched() else [each.conduct.held() if each.conduct else "" for each in endpoints]
        return f"none of {len(held)} endpoints takes calls: {held[0]}" if held and all(held) else ""

    # --- for the conduct of one

    def switched(self, conduct: Conduct) -> None:
        """Its breaker has opened or closed, or its probe has ended."""
        breaker = conduct.breaker
        if breaker is None or not self._running:
            return
        self._disarm(conduct, BREAKER)
        log = self._env.log
        if breaker.state is State.OPEN:
            self._ejections[BREAKER].value += 1
            log.warn(
                "cluster {cluster}: the breaker of {endpoint} is open for {seconds:.1f} s: {reason}",
                cluster=self._cluster,
                endpoint=conduct.address,
                seconds=breaker.until - self._env.now(),
                reason=breaker.reason,
            )
            if self._shared is not None and not breaker.learnt:
                self._shared.tell(conduct.address, BREAKER, breaker.reason, breaker.until - self._env.now())
            self._arm(conduct)
        elif breaker.state is State.CLOSED:
            log.info(
                "cluster {cluster}: the breaker of {endpoint} is closed: its probe went well",
                cluster=self._cluster,
                endpoint=conduct.address,
            )
        self._settle()

    def eject(self, conduct: Conduct, reason: str) -> None:
        """Leave an outlier out, if the rule lets one more be."""
        tally, rule = conduct.tally, self.outlier
        if tally is None or rule is None or not self._may_eject():
            return
        tally.eject(reason, rule, self._env.now())
        if self._shared is not None:
            self._shared.tell(conduct.address, OUTLIER, reason, tally.until - self._env.now())
        self._ejected_now(conduct, tally)

    def _may_eject(self) -> bool:
        if self.outlier is None or not self._running:
            return False
        ejected = sum(each.ejected for each in self._known)
        if may_eject(ejected, len(self._known), self.outlier):
            return True
        self._spared.value += 1
        return False

    def _ejected_now(self, conduct: Conduct, tally: Tally) -> None:
        self._ejections[OUTLIER].value += 1
        self._env.log.warn(
            "cluster {cluster}: {endpoint} is ejected for {seconds:.1f} s: {reason}",
            cluster=self._cluster,
            endpoint=conduct.address,
            seconds=tally.until - self._env.now(),
            reason=tally.ejected,
        )
        self._arm(conduct)
        self._settle()

    def wake(self) -> None:
        """There is something to look at again."""
        if self._sweep is not None and self._running:
            self._sweep.wake()

    # --- what other sidecars have seen

    def _learn(self, agreed: Agreement) -> bool:
        """Leave out what enough others do; returns whether the endpoint is one of ours."""
        conduct = next((each for each in self._known if each.address == agreed.endpoint), None)
        if conduct is None:
            return False
        breaker, tally, now = conduct.breaker, conduct.tally, self._env.now()
        if agreed.kind == BREAKER and breaker is not None and breaker.learn(agreed.reason, agreed.left, now):
            self._learnt[BREAKER].value += 1
            self.switched(conduct)
        elif agreed.kind == OUTLIER and tally is not None and not tally.ejected and self._may_eject():
            tally.learn(agreed.reason, agreed.left, now)
            self._learnt[OUTLIER].value += 1
            self._ejected_now(conduct, tally)
        return True

    # --- time

    def _arm(self, conduct: Conduct) -> None:
        """See to it that what is out for a time comes back."""
        breaker, tally = conduct.breaker, conduct.tally
        if breaker is not None and breaker.state is State.OPEN:
            self._at(conduct, BREAKER, breaker.until, self._offer)
        if tally is not None and tally.ejected:
            self._at(conduct, OUTLIER, tally.until, self._admit)

    def _at(self, conduct: Conduct, what: str, until: float, then: Callable[[Conduct], None]) -> None:
        if (conduct, what) not in self._timers:
            wait = max(0.0, until - self._env.now())
            self._timers[conduct, what] = self._env.clock.callLater(wait, then, conduct)

    def _disarm(self, conduct: Conduct, what: str) -> None:
        timer = self._timers.pop((conduct, what), None)
        if timer is not None:
            timer.cancel()

    def _offer(self, conduct: Conduct) -> None:
        del self._timers[conduct, BREAKER]
        if conduct.breaker is not None:
            conduct.breaker.offer()
        self._settle()

    def _probe_is_late(self, conduct: Conduct) -> None:
        del self._timers[conduct, BREAKER]
        conduct.probe = None
        self._settle()

    def _probe_is_over(self, conduct: Conduct, timer: IDelayedCall) -> None:
        if self._timers.get((conduct, BREAKER)) is timer:
            timer.cancel()
            self._probe_is_late(conduct)

    def _admit(self, conduct: Conduct) -> None:
        del self._timers[conduct, OUTLIER]
        if conduct.tally is not None:
            conduct.tally.admit()
        self._env.log.info(
            "cluster {cluster}: {endpoint} takes calls again", cluster=self._cluster, endpoint=conduct.address
        )
        self._settle()

    def _look(self) -> bool:
        assert self.outlier is not None
        tallies = {each.tally: each for each in self._known if each.tally is not None}
        busy = any(each.good + each.bad or each.times for each in tallies)
        for tally, reason in look(list(tallies), self.outlier):
            self.eject(tallies[tally], reason)
        return busy

    def _settle(self) -> None:
        self._count()
        self._changed()

    def _count(self) -> None:
        self._ejected[BREAKER].value = sum(each.shut for each in self._known)
        self._ejected[OUTLIER].value = sum(each.ejected for each in self._known)

    def _is_shut(self, endpoint: Endpoint) -> bool:
        return self._watched.breaker is not None and endpoint.conduct is not None and endpoint.conduct.shut

    def _is_ejected(self, endpoint: Endpoint) -> bool:
        return self._watched.outlier is not None and endpoint.conduct is not None and endpoint.conduct.ejected
