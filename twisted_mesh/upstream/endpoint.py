"""One address of a cluster, with all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Protocol

if TYPE_CHECKING:
    from twisted_mesh.model import Address


class Pool(Protocol):
    """The connections that a forwarder keeps to one endpoint."""

    def drain(self) -> None:
        """Lend no more, close what is idle now and the rest when it comes back."""


class Endpoint:
    """One address of a cluster.

    - `address` is the text for people, logs and metrics, and what tells endpoints of one cluster apart; `target` is
      what to connect to, always a literal IP address or a unix path.  `name` is the host and port that were resolved
      into it, "" if the configuration gives the address itself.
    - `weight`, `zone` and `labels` are configured.
    - `active` counts the calls in flight: whoever sends one adds 1 and takes it away when the call completes.
      `successes` and `failures` count what became of them.
    - `checked` and `healthy` are what active checks found; `health_reason` says it for people, `health_since` since
      when (seconds since the epoch, 0.0 for ever).  Without checks an endpoint stays unchecked and healthy.
    - `pools` holds the connections by protocol; the forwarders of that protocol own what is in it.
    - `draining`: it was taken out of its cluster; calls in flight go on, no new ones come.

    An endpoint outlives the cluster that made it: a reload hands it on, with everything that was learnt.  It drains
    when the last cluster that holds it lets go.
    """

    __slots__ = (
        "active",
        "address",
        "checked",
        "draining",
        "failures",
        "health_reason",
        "health_since",
        "healthy",
        "held",
        "labels",
        "name",
        "pools",
        "successes",
        "target",
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
    ) -> None:
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
        """Take over what is configured from `other`; returns whether the weight changed."""
        changed = self.weight != other.weight
        self.name = other.name
        self.weight = other.weight
        self.zone = other.zone
        self.labels = other.labels
        return changed

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
            "active": self.active,
            "successes": self.successes,
            "failures": self.failures,
            "connections": {protocol: repr(pool) for protocol, pool in self.pools.items()},
        }
