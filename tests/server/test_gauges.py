"""Gauges that are read off the world."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.server.gauges import Gauges


def listener(name: str, active: int, connections: int) -> Any:
    adapter = SimpleNamespace(active=active, connections=connections)
    return SimpleNamespace(name=name, config=SimpleNamespace(protocol="http"), adapter=adapter)


def pool(open: int, idle: int, waiting: int) -> Any:
    return SimpleNamespace(open=open, idle=[0] * idle, waiting=[0] * waiting)


def test_what_is_in_flight_and_open_is_summed_over_listeners_of_one_name() -> None:
    families = Families(Registry())
    world: Any = SimpleNamespace(
        everyone=[listener("edge", 1, 2), listener("edge", 3, 4), listener("db", 0, 0)], clusters={}
    )
    Gauges(world, families).set()
    assert families.calls_active.labels("http", "edge").value == 4
    assert families.connections_active.labels("http", "edge").value == 6
    assert families.connections_active.labels("http", "db").value == 0


def test_pools_are_summed_by_cluster_and_go_back_to_nothing() -> None:
    families = Families(Registry())
    endpoints = [
        SimpleNamespace(pools={"http": pool(5, 2, 1), "odd": object()}),
        SimpleNamespace(pools={"http": pool(1, 1, 0)}),
    ]
    cluster = SimpleNamespace(name="api", endpoints=endpoints)
    world: Any = SimpleNamespace(everyone=[], clusters={"api": cluster})
    gauges = Gauges(world, families)
    gauges.set()
    active = families.upstream_connections.labels("http", "api", "active")
    idle = families.upstream_connections.labels("http", "api", "idle")
    pending = families.upstream_pending.labels("http", "api")
    assert (active.value, idle.value, pending.value) == (3, 3, 1)
    assert len(families.upstream_connections) == 2
    cluster.endpoints = []
    gauges.set()
    assert (active.value, idle.value, pending.value) == (0, 0, 0)


def test_a_cluster_that_left_is_not_brought_back() -> None:
    families = Families(Registry())
    cluster = SimpleNamespace(name="api", endpoints=[SimpleNamespace(pools={"http": pool(1, 1, 0)})])
    world: Any = SimpleNamespace(everyone=[], clusters={"api": cluster})
    gauges = Gauges(world, families)
    gauges.set()
    world.clusters = {}
    families.registry.forget("cluster", "api")
    gauges.set()
    families.registry.forget("cluster", "api")
    gauges.set()
    assert len(families.upstream_connections) == 0
