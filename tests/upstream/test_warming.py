"""Endpoints that are new or back get their share little by little."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.model import Address
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.members import STATIC

A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"


class World:
    def __init__(self) -> None:
        self.env = FakeEnv()
        self.clusters: list[Cluster] = []

    def cluster(self, *addresses: str, balance: str = "round_robin", **options: Any) -> Cluster:
        config = cluster_config(*addresses, balance=balance, slow_start="20s", **options)
        made = Cluster("api", config, self.env, FakeConnector())  # type: ignore[arg-type]
        self.clusters.append(made)
        return made

    def running(self, *addresses: str, **options: Any) -> Cluster:
        """A cluster that has run for longer than a window."""
        made = self.cluster(*addresses, **options)
        made.start()
        self.env.clock.advance(30.0)
        return made


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for each in made.clusters:
        each.stop()
    assert made.env.clock.getDelayedCalls() == []


def share(cluster: Cluster, address: str) -> float:
    counted = Counter(cluster.pick(a_call()).address for _ in range(4000))
    return counted[address] / 4000


def endpoint(address: str) -> Endpoint:
    return Endpoint(Address.parse(address))


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_request"])
def test_one_that_joins(balance: str, world: World) -> None:
    cluster = world.running(A, balance=balance)
    cluster.replace(STATIC, [*cluster.endpoints, endpoint(B)])
    first = share(cluster, B)
    assert first < 0.15
    world.env.clock.advance(10.0)
    half = share(cluster, B)
    assert first <= half < 0.4
    world.env.clock.advance(11.0)
    assert 0.45 < share(cluster, B) < 0.55
    assert world.env.clock.getDelayedCalls() == []


def test_it_says_who_warms_up(world: World) -> None:
    cluster = world.running(A)
    cluster.replace(STATIC, [*cluster.endpoints, endpoint(B)])
    assert cluster.describe()["warming"] == {B: 10.0}
    world.env.clock.advance(5.0)
    assert cluster.describe()["warming"] == {B: 25.0}


def test_one_that_is_well_again(world: World) -> None:
    cluster = world.running(A, B, C, health_check={"tcp": True, "interval": "1h"}, panic_threshold=0)
    two = cluster.endpoints[1]
    two.healthy = False
    cluster.refresh()
    assert share(cluster, B) == 0
    two.healthy = True
    cluster.refresh()
    assert share(cluster, B) < 0.1
    world.env.clock.advance(21.0)
    assert 0.3 < share(cluster, B) < 0.37


def test_nobody_is_new_when_the_sidecar_starts(world: World) -> None:
    cluster = world.cluster(A)
    cluster.start()
    world.env.clock.advance(3.0)
    cluster.replace(STATIC, [*cluster.endpoints, endpoint(B)])
    assert 0.45 < share(cluster, B) < 0.55


def test_a_reload_goes_on_with_it(world: World) -> None:
    old = world.running(A)
    old.replace(STATIC, [*old.endpoints, endpoint(B)])
    world.env.clock.advance(10.0)
    before = share(old, B)
    new = world.cluster(A, B)
    new.adopt(old)
    new.start()
    old.stop()
    assert share(new, B) == pytest.approx(before, abs=0.05)
    world.env.clock.advance(11.0)
    assert 0.45 < share(new, B) < 0.55


def test_one_that_joins_with_a_reload_warms_up(world: World) -> None:
    """A change takes over from the cluster before twice: when it is made, and when it comes into force."""
    old = world.running(A)
    new = world.cluster(A, B)
    new.adopt(old)
    world.env.clock.advance(1.0)
    new.adopt(old)
    new.start()
    old.stop()
    assert new.picks.describe()["warming"] == {B: 10.0}
    world.env.clock.advance(9.0)
    assert new.picks.describe()["warming"] == {B: 50.0}
    assert 0.3 < share(new, B) < 0.37
    world.env.clock.advance(11.0)
    assert new.picks.describe()["warming"] == {}
    assert share(new, B) == 0.5


def test_a_reload_that_is_given_up_leaves_no_timer(world: World) -> None:
    old = world.running(A)
    old.replace(STATIC, [*old.endpoints, endpoint(B)])
    new = world.cluster(A, B)
    new.adopt(old)
    old.stop()
    assert world.env.clock.getDelayedCalls() == []
