"""What a configuration wants watched of its endpoints."""

from __future__ import annotations

from tests.upstream.fakes import cluster_config
from twisted_mesh.policy.breaker import BreakerRule
from twisted_mesh.policy.outlier import OutlierRule
from twisted_mesh.upstream.watched import Watched, watched


def test_nothing_unless_it_is_said() -> None:
    assert watched(cluster_config("127.0.0.1:1")) == Watched()


def test_what_is_said() -> None:
    config = cluster_config(
        "127.0.0.1:1", balance="peak_ewma", breaker={"failures": 3, "shared": 2}, outlier={"share": 50}
    )
    assert watched(config) == Watched(True, BreakerRule(failures=3), OutlierRule(share=50.0), {"breaker": 2})
