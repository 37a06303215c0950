"""Overrides on the endpoints of a cluster."""

from __future__ import annotations

from typing import Any, Callable, Optional

from tests.upstream.fakes import FakeConnector, FakeEnv, cluster_config
from twisted_mesh.bus.overrides import Override
from twisted_mesh.upstream.cluster import Cluster

A, B = "127.0.0.1:1", "127.0.0.1:2"


class Following:
    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop


class FakeOverrides:
    """Overrides by address."""

    def __init__(self) -> None:
        self.found: dict[str, Override] = {}
        self.listeners: list[Callable[[], None]] = []

    def of(self, cluster: str, service: str, instance: str, address: str) -> Optional[Override]:
        assert cluster == "api"
        return self.found.get(instance if instance == "*" else address)

    def follow(self, changed: Callable[[], None]) -> Following:
        self.listeners.append(changed)
        return Following(lambda: self.listeners.remove(changed))

    def say(self, **kinds: Any) -> None:
        self.found = {
            {"a": A, "b": B}[name]: Override(
                scope="cluster",
                name="api",
                endpoint=name,
                ttl=60.0,
                author="ann",
                reason="disk",
                expires=9000,
                **fields,
            )
            for name, fields in kinds.items()
        }
        for each in list(self.listeners):
            each()


def a_cluster(overrides: FakeOverrides, env: Optional[FakeEnv] = None, **options: Any) -> Cluster:
    made = Cluster(
        "api",
        cluster_config({"address": A, "weight": 2}, B, **options),
        env or FakeEnv(),
        FakeConnector(),  # type: ignore[arg-type]
        overrides=overrides,
    )
    made.start()
    return made


def test_a_weight_is_overridden_and_comes_back() -> None:
    """What is declared stays what it is, and is shown beside what was said."""
    overrides = FakeOverrides()
    env = FakeEnv()
    cluster = a_cluster(overrides, env)
    overrides.say(a={"kind": "weight", "weight": 7})
    first = cluster.endpoints[0]
    assert (first.weight, first.declared_weight) == (7, 2)
    shown = first.describe()
    assert shown["declared"] == {"weight": 2, "instance": "", "status": "up"}
    said = {"kind": "weight", "weight": 7, "author": "ann", "reason": "disk", "until": 9.0, "remembered": False}
    assert shown["override"] == said
    assert env.count("cluster_overridden", "api") == 1
    overrides.say()
    assert first.weight == 2
    assert first.describe()["override"] is None


def test_draining_takes_no_new_calls() -> None:
    """Nor does a weight of 0; both leave the others, and nothing where all are out."""
    overrides = FakeOverrides()
    cluster = a_cluster(overrides)
    overrides.say(a={"kind": "drain"})
    assert [each.address for each in cluster.usable] == [B]
    assert cluster.endpoints[0].out == "drain by ann: disk"
    overrides.say(a={"kind": "drain"}, b={"kind": "weight"})
    assert not cluster.usable
    assert cluster.trouble == "all of 2 endpoints are out: drain by ann: disk"
    overrides.say()
    assert len(cluster.usable) == 2


def test_what_is_under_maintenance_is_not_even_asked() -> None:
    """No calls, no health checks, until it ends."""
    overrides = FakeOverrides()
    connector = FakeConnector()
    env = FakeEnv()
    cluster = Cluster(
        "api",
        cluster_config(A, B, health_check={"tcp": True}),
        env,
        connector,  # type: ignore[arg-type]
        overrides=overrides,
    )
    cluster.start()
    overrides.say(a={"kind": "maintenance"})
    connector.asked.clear()
    env.clock.advance(60)
    assert set(connector.asked) == {B}
    overrides.say()
    env.clock.advance(60)
    assert A in connector.asked


def test_a_cluster_that_stops_hears_no_more() -> None:
    """Whoever ends leaves nobody behind."""
    overrides = FakeOverrides()
    a_cluster(overrides).stop()
    assert not overrides.listeners
