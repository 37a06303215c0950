"""A cluster whose calls stay in a zone, or are shared among zones."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.upstream.cluster import Cluster

BALANCES = ["round_robin", "random", "least_request", "peak_ewma"]


def endpoints(**zones: int) -> list[dict[str, str]]:
    """So many endpoints in each zone."""
    return [
        {"address": f"10.{at}.0.{each}:80", "zone": zone}
        for at, (zone, count) in enumerate(zones.items())
        for each in range(count)
    ]


def a_cluster(zone: str, env: Optional[FakeEnv] = None, locality: Any = None, **options: Any) -> Cluster:
    at = options.pop("at")
    config = cluster_config(*at, locality=locality or {}, **options)
    return Cluster("api", config, env or FakeEnv(), FakeConnector(), zone=lambda: zone)  # type: ignore[arg-type]


def zones_of(cluster: Cluster, calls: int = 2000) -> dict[str, float]:
    counted = Counter(cluster.pick(a_call()).zone for _ in range(calls))
    return {zone: count / calls for zone, count in counted.items()}


def fail(cluster: Cluster, zone: str, count: int) -> None:
    """Have the checks of so many of a zone fail, and those of all others succeed."""
    for each in cluster.endpoints:
        each.checked, each.healthy = True, True
    for each in [each for each in cluster.endpoints if each.zone == zone][:count]:
        each.healthy = False
    cluster.refresh()


@pytest.mark.parametrize("balance", BALANCES)
def test_calls_stay_in_the_zone_and_go_elsewhere_as_it_fails(balance: str) -> None:
    cluster = a_cluster("b", at=endpoints(a=4, b=4), balance=balance)
    assert zones_of(cluster) == {"b": 1.0}
    fail(cluster, "b", 1)
    assert zones_of(cluster) == {"b": 1.0}
    fail(cluster, "b", 2)
    shares = zones_of(cluster)
    assert 0.65 < shares["b"] < 0.75 and 0.25 < shares["a"] < 0.35
    fail(cluster, "b", 4)
    assert zones_of(cluster) == {"a": 1.0}
    assert not cluster.panicking
    fail(cluster, "b", 0)
    assert zones_of(cluster) == {"b": 1.0}


def test_what_operators_take_out_is_missing_in_its_zone_too() -> None:
    """One that is left of four must not get the calls of all."""
    cluster = a_cluster("a", at=endpoints(a=4, b=4))
    for each in [each for each in cluster.endpoints if each.zone == "a"][:3]:
        each.out = "drain by somebody"
    cluster.refresh(True)
    assert zones_of(cluster)["a"] == pytest.approx(0.35, abs=0.05)


def test_the_order_of_zones() -> None:
    cluster = a_cluster("a", at=endpoints(a=2, b=2, c=2, d=2), locality={"order": ["c"]})
    fail(cluster, "a", 2)
    assert zones_of(cluster) == {"c": 1.0}
    assert cluster.describe()["zones"] == {"a": 0.0, "c": 1.0, "others": 0.0}


def test_where_too_little_is_left_the_cluster_panics_and_goes_everywhere() -> None:
    cluster = a_cluster("a", at=endpoints(a=4, b=4))
    for each in cluster.endpoints:
        each.checked, each.healthy = True, each.address in ("10.0.0.0:80", "10.1.0.0:80")
    cluster.refresh()
    assert cluster.panicking
    assert zones_of(cluster).keys() == {"a", "b"}


def test_zones_share_by_weight() -> None:
    cluster = a_cluster("a", at=endpoints(a=1, b=8), locality={"weights": {"a": 3, "b": 1}})
    assert zones_of(cluster)["a"] == pytest.approx(0.75, abs=0.05)


def test_a_zone_without_a_share_serves_when_there_is_nothing_else() -> None:
    cluster = a_cluster("a", at=endpoints(a=1, b=1), locality={"weights": {"a": 1, "b": 0}}, panic_threshold=0)
    assert zones_of(cluster) == {"a": 1.0}
    fail(cluster, "a", 1)
    assert zones_of(cluster) == {"b": 1.0}


def test_another_try_goes_to_the_zone_first_too() -> None:
    cluster = a_cluster("a", at=endpoints(a=2, b=2))
    one, two = (each for each in cluster.endpoints if each.zone == "a")
    assert {cluster.pick(a_call((one,))).address for _ in range(50)} <= {two.address, "10.1.0.0:80", "10.1.0.1:80"}
    assert {cluster.pick(a_call((one, two))).zone for _ in range(50)} == {"b"}


def test_a_sidecar_without_a_zone_prefers_none() -> None:
    assert zones_of(a_cluster("", at=endpoints(a=2, b=2))).keys() == {"a", "b"}
    assert zones_of(a_cluster("x", at=endpoints(a=2, b=2))).keys() == {"a", "b"}
