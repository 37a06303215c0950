"""One address of a cluster, with all that is known of it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Callable, Mapping, Optional, Protocol

from twisted_mesh.errors import Kind

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.errors import MeshError
    from twisted_mesh.model import Address
    from twisted_mesh.upstream.conduct import Conduct

# Why an endpoint that is about to end takes no calls; where nothing else is left it does.
DRAINING = "draining"


class Pool(Protocol):
    """The connections that a forwarder keeps to one endpoint."""

    def drain(self) -> None:
        """Lend no more, close what is idle now and the rest when it comes back."""


class OverrideLike(Protocol):
    """What an operator said of an endpoint at run time."""

    @property
    def kind(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def author(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def expires(self) -> int: ...
    @property
    def remembered(self) -> bool: ...


class Endpoint:
    """One address of a cluster.

    - `address` is the text for people, logs and metrics, and what tells endpoints of one cluster apart; `target` is
      what to connect to, always a literal IP address or a unix path.  `name` is the host and port that were resolved
      into it, "" if the configuration gives the address itself.
    - `zone`, `labels` and `declared_weight` are configured, or what the registry says; `unused` is why the registry
      wants no calls to go there (a status, or ""), `instance` its id there, `doubt` what else is to be known.
    - `override` is what an operator said at run time.  `weight` and `out` are what follows from all that: its share,
      and why it takes no calls ("" if it does).
    - `active` counts the calls in flight: whoever sends one adds 1 and takes it away when the call completes.
      `successes` and `failures` count what became of them.
    - `checked` and `healthy` are what active checks found; `health_reason` says it for people, `health_since` since
      when (seconds since the epoch, 0.0 for ever).  Without checks an endpoint stays unchecked and healthy.
    - `conduct` is told how each try has ended, where the cluster asks for that; None where it does not.
    - `pools` holds the connections by protocol; the forwarders of that protocol own what is in it.
    - `draining`: it was taken out of its cluster; calls in flight go on, no new ones come.

    An endpoint outlives the cluster that made it: a reload hands it on, with everything that was learnt.  It drains
    when the last cluster that holds it lets go.
    """

    __slots__ = (
        "active",
        "address",
        "checked",
        "conduct",
        "declared_weight",
        "doubt",
        "draining",
        "failures",
        "health_reason",
        "health_since",
        "healthy",
        "held",
        "instance",
        "labels",
        "name",
        "on_refused",
        "out",
        "override",
        "pools",
        "successes",
        "target",
        "unused",
        "weight",
        "zone",
    )

    def __init__(
        self,
        target: Address,
        *,
        name: str = "",
        weight: int = 1,
        zone: str = "",
        labels: Optional[Mapping[str, str]] = None,
        instance: str = "",
        unused: str = "",
    ) -> None:
        self.instance = instance
        self.declared_weight = weight
        self.unused = self.out = unused
        self.override: Optional[OverrideLike] = None
        self.doubt = ""
        self.on_refused: Optional[Callable[[Endpoint], None]] = None
        self.address = str(target)
        self.target = target
        self.name = name
        self.weight = weight
        self.zone = zone
        self.labels: Mapping[str, str] = {} if labels is None else labels
        self.active = 0
        self.successes = 0
        self.failures = 0
        self.checked = False
        self.healthy = True
        self.health_reason = "not checked"
        self.health_since = 0.0
        self.conduct: Optional[Conduct] = None
        self.pools: dict[str, Pool] = {}
        self.draining = False
        self.held = 0

    def __repr__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"<Endpoint {self.address}{name} {self.state} active={self.active} weight={self.weight}>"

    @property
    def state(self) -> str:
        """One word: draining, unchecked, healthy or unhealthy."""
        if self.draining:
            return "draining"
        if not self.checked:
            return "unchecked"
        return "healthy" if self.healthy else "unhealthy"

    def configure(self, other: Endpoint) -> bool:
        """Take over what is declared from `other`; returns whether calls are spread otherwise now."""
        self.name = other.name
        self.zone = other.zone
        self.labels = other.labels
        self.declared_weight = other.declared_weight
        self.instance = other.instance
        self.unused = other.unused
        self.doubt = other.doubt
        self.on_refused = other.on_refused
        return self._weigh()

    def overrule(self, override: Optional[OverrideLike]) -> bool:
        """Go by what an operator says, or by what is declared again; returns whether calls are spread otherwise now."""
        self.override = override
        return self._weigh()

    def _weigh(self) -> bool:
        before = self.weight, self.out
        self.weight, self.out = self.declared_weight, self.unused
        override = self.override
        if override is not None:
            if override.kind == "weight" and override.weight > 0:
                self.weight = override.weight
            else:
                reason = f": {override.reason}" if override.reason else ""
                self.out = f"{override.kind} by {override.author or 'somebody'}{reason}"
        return before != (self.weight, self.out)

    def not_connected(self, error: MeshError, cells: UpstreamCells) -> None:
        """A connection to it could not be made: count it, and tell who wants to know that it was refused."""
        if error.kind is Kind.CONNECT_TIMEOUT:
            cells.connect_timeouts.value += 1
            return
        cells.connect_failures.value += 1
        cause = error.__cause__
        if self.on_refused is not None and isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            self.on_refused(self)

    def forget_health(self) -> None:
        """Nobody checks this endpoint any more."""
        if self.checked:
            self.checked = False
            self.healthy = True
            self.health_reason = "not checked"
            self.health_since = 0.0

    def hold(self) -> None:
        """One more cluster has this endpoint."""
        self.held += 1

    def release(self) -> None:
        """A cluster lets go; after the last one the endpoint drains."""
        self.held -= 1
        if self.held <= 0 and not self.draining:
            self.draining = True
            for each in list(self.pools.values()):
                each.drain()

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {
            "address": self.address,
            "name": self.name,
            "state": self.state,
            "reason": self.health_reason,
            "since": self.health_since,
            "weight": self.weight,
            "zone": self.zone,
            "labels": dict(self.labels),
            "declared": {"weight": self.declared_weight, "instance": self.instance, "status": self.unused or "up"},
            "override": None if self.override is None else _overridden(self.override),
            "out": self.out,
            "doubt": self.doubt,
            "active": self.active,
            "successes": self.successes,
            "failures": self.failures,
            "conduct": None if self.conduct is None else self.conduct.describe(),
            "connections": {protocol: repr(pool) for protocol, pool in self.pools.items()},
        }


def _overridden(override: OverrideLike) -> dict[str, object]:
    return {
        "kind": override.kind,
        "weight": override.weight,
        "author": override.author,
        "reason": override.reason,
        "until": override.expires / 1000,
        "remembered": override.remembered,
    }
