"""The switch by which operators keep calls from a whole cluster, or a share of them."""

from __future__ import annotations

from typing import Optional, Protocol

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.share import share
from twisted_mesh.upstream.endpoint import OverrideLike
from twisted_mesh.upstream.overruled import MAINTENANCE, Overrides

# In the place of an endpoint: all of them.
ALL = "*"


class Maintenance(OverrideLike, Protocol):
    """What an operator said of a whole cluster."""

    @property
    def percent(self) -> float: ...


class Switch:
    """Whether calls to a cluster are turned away; `on` is true while some are, `closed` while all are.

    While it is off nothing looks at it: a cluster asks it where it picks an endpoint in some special way anyhow.
    """

    __slots__ = ("_chosen", "_cluster", "_env", "_percent", "_refused", "override")

    def __init__(self, cluster: str, env: Env) -> None:
        families = Families(env.metrics)
        self.override: Optional[Maintenance] = None
        self._cluster = cluster
        self._env = env
        self._chosen = share(0.0, env.random.random)
        self._percent = families.maintenance_percent.labels(cluster)
        self._refused = families.maintenance_refused.labels(cluster)

    def __repr__(self) -> str:
        return f"<Switch of {self._cluster}: {self.trouble or 'off'}>"

    @property
    def on(self) -> bool:
        """Whether some calls are turned away."""
        return self.override is not None

    @property
    def closed(self) -> bool:
        """Whether all calls are turned away."""
        return self.override is not None and self.override.percent >= 100.0

    @property
    def trouble(self) -> str:
        """Why calls are turned away, for people; "" if none are."""
        override = self.override
        if override is None:
            return ""
        whole = "" if override.percent >= 100.0 else f" for {override.percent:g} % of the calls"
        reason = f": {override.reason}" if override.reason else ""
        return f"under maintenance{whole} by {override.author or 'somebody'}{reason}"

    def turn(self, override: Optional[OverrideLike]) -> bool:
        """Go by what an operator says of the cluster, None if nothing; returns whether that is new."""
        found: Optional[Maintenance] = override  # type: ignore[assignment]  # those of whole clusters have a percentage
        if found is not None and found.kind != MAINTENANCE:
            found = None
        if found == self.override:
            return False
        before, said = self.override, self.trouble
        self.override = found
        percent = 0.0 if found is None else found.percent
        self._chosen = share(percent, self._env.random.random)
        self._percent.value = percent
        if found is not None and self.trouble != said:
            self._env.log.warn("cluster {cluster} is {trouble}", cluster=self._cluster, trouble=self.trouble)
        elif found is None and before is not None:
            self._env.log.info("cluster {cluster} is under maintenance no more", cluster=self._cluster)
        return True

    def follow(self, overrides: Optional[Overrides], service: Optional[str]) -> bool:
        """Go by these; returns whether that changes anything."""
        return self.turn(None if overrides is None else overrides.of(self._cluster, service or "", ALL, ""))

    def check(self) -> None:
        """See whether a call may go on.

        :raises MeshError: `Kind.MAINTENANCE`.
        """
        if self._chosen():
            self._refused.value += 1
            raise self._turned_away()

    def check_closed(self) -> None:
        """See whether any call may go on, and count nothing.

        :raises MeshError: `Kind.MAINTENANCE`.
        """
        if self.closed:
            raise self._turned_away()

    def _turned_away(self) -> MeshError:
        return MeshError(Kind.MAINTENANCE, f"cluster {self._cluster}: {self.trouble}")

    def describe(self) -> Optional[dict[str, object]]:
        """Everything worth showing to an operator; None while it is off."""
        override = self.override
        if override is None:
            return None
        return {
            "percent": override.percent,
            "author": override.author,
            "reason": override.reason,
            "until": override.expires / 1000,
            "remembered": override.remembered,
        }
