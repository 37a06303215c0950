"""Keeping the addresses of one host name up to date."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.backoff import full_jitter
from twisted_mesh.policy.names import SHORTEST_TTL, next_lookup
from twisted_mesh.upstream.probe import SUCCESS, Probe, TcpProbe
from twisted_mesh.upstream.resolve import Answer, NotResolved, Resolver

if TYPE_CHECKING:
    from twisted_mesh.model import Address, Dns
    from twisted_mesh.net.connect import Connector

# After a failed lookup: the first wait at most, in seconds; it doubles up to the cluster's `refresh`.
RETRY_BASE = 1.0
# How long a loopback address may take to accept; seconds.
LOOPBACK_TIMEOUT = 1.0

Found = Callable[["NameWatch"], None]


class NameWatch:
    """Looks one name up, again and again, and calls `found` when its addresses have changed.

    `addresses` are those in use, in the order of the answer; a lookup that fails leaves them as they are, and `problem`
    says why it failed ("" when it did not).

    A name that is one loopback address of each family, as ``localhost`` often is 127.0.0.1 and ::1, means a server on
    this machine, which may listen on one of them only.  So those that accept a connection are used, or the first while
    none does.  They are asked again at each lookup until all accept, and when calls to them have failed since the last
    one (`failures` counts them by address).
    """

    def __init__(
        self,
        cluster: str,
        address: Address,
        config: Dns,
        env: Env,
        connector: Connector,
        resolver: Resolver,
        found: Found,
        failures: Callable[[str], int],
    ) -> None:
        self.cluster = cluster
        self.address = address
        self.addresses: tuple[str, ...] = ()
        self.problem = "not looked up yet"
        self._config = config
        self._env = env
        self._connector = connector
        self._resolver = resolver
        self._found = found
        self._failures = failures
        self._results = Families(env.metrics).resolves
        self._timer: Optional[IDelayedCall] = None
        self._lookup: Optional[Deferred[float]] = None
        self._probe: Optional[Probe] = None
        self._failed = 0
        self._settled = True
        self._seen_failures = 0
        self._stopped = False

    def __repr__(self) -> str:
        problem = f" ({self.problem})" if self.problem else ""
        return f"<NameWatch {self.address} {', '.join(self.addresses) or 'nowhere'}{problem}>"

    def start(self) -> Deferred[None]:
        """Begin; what is returned fires when the first lookup has ended, well or not."""
        first: Deferred[None] = Deferred()
        self._look(first)
        return first

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._lookup is not None:
            self._lookup.cancel()

    def _look(self, first: Optional[Deferred[None]] = None) -> None:
        self._timer = None
        lookup = self._resolver.resolve(self.address.host, self._config.family)
        lookup.addCallback(self._settle)
        ended = lookup.addCallbacks(self._resolved, self._not_resolved)
        self._lookup = ended
        planned = ended.addCallbacks(self._plan, self._broken)
        if first is not None:
            planned.addBoth(first.callback)

    def _plan(self, wait: float) -> None:
        """Look again after so many seconds."""
        self._lookup = None
        if not self._stopped:
            self._timer = self._env.clock.callLater(wait, self._look)

    def _broken(self, failure: Failure) -> None:
        """Something that nobody expected; it must not end the lookups."""
        self._lookup = None
        if not self._stopped:
            self.problem = failure.getErrorMessage()
            self._env.log.failure("looking up {name} failed", failure=failure, name=self.address)
            self._plan(self._config.refresh)

    # --- after a lookup

    def _resolved(self, answer: Answer) -> float:
        if self._stopped:
            return 0.0
        self._results.labels(self.cluster, "success").value += 1
        if self._failed:
            self._env.log.info(
                "cluster {cluster}: {name} can be resolved again", cluster=self.cluster, name=self.address
            )
        self._failed = 0
        self.problem = ""
        kept = [each for each in self.addresses if _family(each) in answer.failed and each not in answer.addresses]
        self._use((*answer.addresses, *kept))
        return SHORTEST_TTL if not self._settled else next_lookup(answer.ttl, self._config.refresh)

    def _not_resolved(self, failure: Failure) -> float:
        failure.trap(NotResolved)
        self._results.labels(self.cluster, "failure").value += 1
        self.problem = failure.getErrorMessage()
        self._failed += 1
        if self._failed == 1:
            self._env.log.warn(
                "cluster {cluster}: cannot resolve {name}, keeping {count} addresses: {problem}",
                cluster=self.cluster,
                name=self.address,
                count=len(self.addresses),
                problem=self.problem,
            )
        # At least a moment, or a server that refuses at once would be asked without pause.
        wait = full_jitter(self._failed, RETRY_BASE, self._config.refresh, self._env.random.random)
        return max(wait, RETRY_BASE / 4)

    def _use(self, addresses: tuple[str, ...]) -> None:
        # A name server turns its answers round; that is no change.
        if set(addresses) != set(self.addresses):
            self.addresses = addresses
            self._found(self)

    # --- two loopback addresses

    def _settle(self, answer: Answer) -> Deferred[Answer]:
        """Leave out the loopback address that nobody listens on."""
        self._settled = True
        if self._stopped or not _either(answer.addresses):
            return succeed(answer)
        failures = sum(map(self._failures_of, answer.addresses))
        if failures == self._seen_failures and set(answer.addresses) == set(self.addresses):
            return succeed(answer)
        self._seen_failures = failures
        return Deferred.fromCoroutine(self._those_that_accept(answer))

    async def _those_that_accept(self, answer: Answer) -> Answer:
        accepting = [each for each in answer.addresses if await self._accepts(each)]
        self._settled = bool(accepting)
        return Answer(tuple(accepting) or answer.addresses[:1], answer.ttl)

    def _failures_of(self, host: str) -> int:
        return self._failures(str(at(self.address, host)))

    def _accepts(self, host: str) -> Deferred[bool]:
        told: Deferred[bool] = Deferred()
        target = at(self.address, host)
        self._probe = TcpProbe(
            self._env.clock,
            self._connector,
            target,
            LOOPBACK_TIMEOUT,
            lambda result, reason: told.callback(result == SUCCESS),
        )
        return told


def _either(addresses: Sequence[str]) -> bool:
    """Whether these are one loopback address of each family."""
    two = [ip_address(each) for each in addresses]
    return sorted(each.version for each in two) == [4, 6] and all(each.is_loopback for each in two)


def at(address: Address, host: str) -> Address:
    """Return the same port at another host."""
    return type(address)(host, address.port)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
