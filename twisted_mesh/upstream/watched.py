"""What is watched of the endpoints of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional

from twisted_mesh.policy.breaker import BreakerRule
from twisted_mesh.policy.outlier import OutlierRule

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster

# What endpoints are left out by.
BREAKER = "breaker"
OUTLIER = "outlier"


class Watched(NamedTuple):
    """What is watched: the latency, for the balance; breakers and outliers by their rules, None if not.

    `shared` says by kind how many other sidecars must leave an endpoint out for this one to do so too.
    """

    latency: bool = False
    breaker: Optional[BreakerRule] = None
    outlier: Optional[OutlierRule] = None
    shared: Mapping[str, int] = {}


def watched(config: Cluster) -> Watched:
    """Return what a configuration wants watched."""
    rules = {BREAKER: config.breaker, OUTLIER: config.outlier}
    fields = {kind: dict(each) for kind, each in rules.items() if each is not None}
    shared = {kind: each.pop("shared") for kind, each in fields.items()}
    return Watched(
        config.balance == "peak_ewma",
        BreakerRule(**fields[BREAKER]) if BREAKER in fields else None,
        OutlierRule(**fields[OUTLIER]) if OUTLIER in fields else None,
        {kind: count for kind, count in shared.items() if count},
    )
