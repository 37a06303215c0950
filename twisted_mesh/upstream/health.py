"""Active health checks: asking each endpoint at intervals, and what follows from the answers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.health import Tally
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.probe import SUCCESS, HttpProbe, Probe, TcpProbe, Verdict

if TYPE_CHECKING:
    from twisted_mesh.model import HealthCheck
    from twisted_mesh.net.connect import Connector

# Checks of one cluster that run at once; the others wait.  A start with a thousand endpoints must not take a thousand
# sockets in one moment.
CHECKS_AT_ONCE = 64


class HealthChecks:
    """Checks the endpoints of one cluster and calls `changed(endpoint)` when the state of one has changed.

    An endpoint that was never checked is asked at once; one that comes from an earlier configuration, with its state,
    at a random moment of the interval.  The time between two checks is the interval and a random part of its jitter.

    :param login: user and password for checks of Redis.
    """

    def __init__(
        self,
        cluster: str,
        config: HealthCheck,
        env: Env,
        connector: Connector,
        changed: Callable[[Endpoint], None],
        login: tuple[str, str] = ("", ""),
    ) -> None:
        self.cluster = cluster
        self.login = login
        self.config = config
        self.env = env
        self.connector = connector
        self.changed = changed
        self._checks: dict[Endpoint, _Check] = {}
        self._due: deque[_Check] = deque()
        self._running = 0
        families = Families(env.metrics)
        self._results = families.health_checks
        self._changes = families.health_changes

    def __repr__(self) -> str:
        return f"<HealthChecks {self.cluster} of {len(self._checks)} running={self._running} due={len(self._due)}>"

    def watch(self, endpoints: Sequence[Endpoint]) -> None:
        """Check exactly these from now on."""
        wanted = set(endpoints)
        gone = [self._checks.pop(each) for each in list(self._checks) if each not in wanted]
        for check in gone:
            # All of them first: stopping one makes room, which must not go to another that is to stop.
            check.stopped = True
        for check in gone:
            check.stop()
        for each in endpoints:
            if each not in self._checks:
                self._checks[each] = _Check(self, each)
                self._checks[each].begin()

    def stop(self) -> None:
        """Check nothing any more."""
        self.watch(())

    # --- what a check tells

    def due(self, check: _Check) -> None:
        """Run this check as soon as there is room."""
        self._due.append(check)
        self._fill()

    def done(self) -> None:
        """A check has ended."""
        self._running -= 1
        self._fill()

    def _fill(self) -> None:
        while self._due and self._running < CHECKS_AT_ONCE:
            check = self._due.popleft()
            if not check.stopped:
                self._running += 1
                check.run()

    def count(self, result: str) -> None:
        """One more result."""
        self._results.labels(self.cluster, result).value += 1

    def tell(self, endpoint: Endpoint, reason: str) -> None:
        """The state of an endpoint has changed."""
        endpoint.health_since = self.env.wall()
        self._changes.labels(self.cluster, endpoint.state).value += 1
        say = self.env.log.info if endpoint.healthy else self.env.log.warn
        say(
            "cluster {cluster}: endpoint {address} is {state}: {reason}",
            cluster=self.cluster,
            address=endpoint.address,
            state=endpoint.state,
            reason=reason,
        )
        self.changed(endpoint)

    def ask(self, endpoint: Endpoint, verdict: Verdict) -> Probe:
        """Begin one check."""
        config, clock = self.config, self.env.clock
        if config.redis is not None:
            from twisted_mesh.upstream.redis_question import RedisProbe

            return RedisProbe(
                clock,
                self.connector,
                endpoint.target,
                config.timeout,
                verdict,
                key=config.redis.key,
                role=config.redis.role,
                login=self.login,
            )
        if config.http is None:
            return TcpProbe(clock, self.connector, endpoint.target, config.timeout, verdict)
        # A unix socket has no host that a server would know.
        host = config.host or endpoint.name or ("localhost" if endpoint.target.path else endpoint.address)
        return HttpProbe(
            clock,
            self.connector,
            endpoint.target,
            config.timeout,
            verdict,
            path=config.http,
            host=host,
            expect=config.expect,
        )


class _Check:
    """The checks of one endpoint, one after the other."""

    __slots__ = ("_endpoint", "_of", "_probe", "_running", "_tally", "_timer", "stopped")

    def __init__(self, of: HealthChecks, endpoint: Endpoint) -> None:
        self._of = of
        self._endpoint = endpoint
        known = endpoint.healthy if endpoint.checked else None
        self._tally = Tally(of.config.healthy, of.config.unhealthy, known)
        self._probe: Optional[Probe] = None
        self._timer: Optional[IDelayedCall] = None
        self._running = False
        self.stopped = False

    def begin(self) -> None:
        """Plan the first check."""
        if self._endpoint.checked:
            self._plan(self._of.env.random.random() * self._of.config.interval)
        else:
            self._of.due(self)

    def run(self) -> None:
        """Ask now."""
        self._running = True
        if self._probe is not None:
            self._probe.cancel()
        # The verdict may come before `ask` returns; then there is nothing left to cancel.
        probe = self._of.ask(self._endpoint, self._verdict)
        self._probe = None if self.stopped else probe

    def stop(self) -> None:
        """Ask no more."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._running:
            self._running = False
            self._of.done()

    def _plan(self, wait: float) -> None:
        self._timer = self._of.env.clock.callLater(wait, self._due)

    def _due(self) -> None:
        self._timer = None
        self._of.due(self)

    def _verdict(self, result: str, reason: str) -> None:
        config, env = self._of.config, self._of.env
        self._running = False
        self._plan(config.interval * (1 + config.jitter * env.random.random()))
        self._of.count(result)
        self._learn(result == SUCCESS, reason)
        self._of.done()

    def _learn(self, success: bool, reason: str) -> None:
        endpoint = self._endpoint
        first = not endpoint.checked
        if self._tally.add(success):
            endpoint.checked = True
            endpoint.healthy = success
            endpoint.health_reason = reason
            in_a_row = self._tally.rise if success else self._tally.fall
            self._of.tell(endpoint, reason if first or in_a_row == 1 else f"{reason}, {in_a_row} times in a row")
        elif success == endpoint.healthy:
            endpoint.health_reason = reason
