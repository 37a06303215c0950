"""What operators say of endpoints at run time, over what is declared."""

from __future__ import annotations

from typing import Callable, Optional, Protocol, Sequence

from twisted_mesh.upstream.endpoint import Endpoint, OverrideLike
from twisted_mesh.upstream.services import Stoppable

MAINTENANCE = "maintenance"


class Overrides(Protocol):
    """The overrides that are in force."""

    def of(self, cluster: str, service: str, instance: str, address: str) -> Optional[OverrideLike]:
        """Return the override for one endpoint of a cluster, None if there is none."""

    def follow(self, changed: Callable[[], None]) -> Stoppable:
        """Call `changed` whenever any has changed."""


def overrule(
    cluster: str, service: Optional[str], endpoints: Sequence[Endpoint], overrides: Optional[Overrides]
) -> bool:
    """Put the overrides in force on endpoints; returns whether calls are spread otherwise now."""
    changed = False
    for each in endpoints:
        override = None if overrides is None else overrides.of(cluster, service or "", each.instance, each.address)
        if override is not each.override:
            changed = each.overrule(override) or changed
    return changed


def under_maintenance(endpoint: Endpoint) -> bool:
    """Whether an operator works on it, so that nobody should even ask how it is."""
    return endpoint.override is not None and endpoint.override.kind == MAINTENANCE
