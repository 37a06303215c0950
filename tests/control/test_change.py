"""What a change does to clusters, before and at the swap."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from twisted.internet.defer import Deferred

from tests.upstream.fakes import FakeConnector, FakeEnv, FakeResolver, answer
from twisted_mesh import model
from twisted_mesh.control.change import Change
from twisted_mesh.control.world import World
from twisted_mesh.upstream.cluster import Cluster


class Env(FakeEnv):
    """An Env that gives itself under every name, and has no log files."""

    logs: Any

    def named(self, name: str) -> Env:
        return self


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running world whose clusters resolve from `world.resolver.names`."""
    env: Any = Env()
    env.logs = type("Logs", (), {"keep": lambda self, paths: None})()
    made: Any = World(env, None, lambda name: None)  # type: ignore[arg-type, return-value]
    made.resolver = FakeResolver()

    def new_cluster(name: str, config: model.Cluster) -> Cluster:
        return Cluster(name, config, env, FakeConnector(), made.resolver)  # type: ignore[arg-type]

    monkeypatch.setattr(made, "new_cluster", new_cluster)
    monkeypatch.setattr(made, "reach", lambda cluster, protocol: None)
    made.running = True
    yield made
    for each in made.clusters.values():
        each.stop()
    assert env.clock.getDelayedCalls() == []


def begin(world: Any, **clusters: Any) -> tuple[Change, Deferred[None]]:
    config = model.Config.model_validate(
        {"listeners": {}, "clusters": {name: {"endpoints": each} for name, each in clusters.items()}}
    )
    change = Change(world, config)
    for _ in change.steps():
        pass
    return change, Deferred.fromCoroutine(change.warm())


def apply(world: Any, **clusters: Any) -> None:
    change, warm = begin(world, **clusters)
    assert warm.called
    change.commit()


def addresses(world: Any, name: str) -> list[str]:
    return [each.address for each in world.clusters[name].usable]


def test_what_is_equal_is_the_same_cluster(world: Any) -> None:
    apply(world, api=["127.0.0.1:1"])
    before = world.clusters["api"]
    apply(world, api=["127.0.0.1:1"], other=["127.0.0.1:2"])
    assert world.clusters["api"] is before


def test_what_stays_keeps_its_endpoints_and_the_rest_drains(world: Any) -> None:
    apply(world, api=["127.0.0.1:1", "127.0.0.1:2"])
    one, two = world.clusters["api"].endpoints
    apply(world, api=["127.0.0.1:1", "127.0.0.1:3"])
    assert world.clusters["api"].endpoints[0] is one
    assert (one.draining, two.draining) == (False, True)


def test_a_cluster_that_becomes_a_name_is_looked_up_before_the_swap(world: Any) -> None:
    """No call may find a cluster without endpoints only because its configuration has changed."""
    apply(world, api=["127.0.0.1:1"])
    change, warm = begin(world, api=["web:80"])
    assert not warm.called
    assert addresses(world, "api") == ["127.0.0.1:1"]
    world.resolver.pending.pop().callback(answer("10.0.0.1"))
    assert warm.called
    change.commit()
    assert addresses(world, "api") == ["10.0.0.1:80"]


def test_a_change_that_is_given_up_ends_its_lookups(world: Any) -> None:
    apply(world, api=["127.0.0.1:1"])
    change, _ = begin(world, api=["web:80"])
    change.give_up()
    assert addresses(world, "api") == ["127.0.0.1:1"]
    assert world.env.clock.getDelayedCalls() == []


def test_resolved_addresses_are_taken_along(world: Any) -> None:
    world.resolver.names["web"] = answer("10.0.0.1")
    apply(world, api=["web:80"])
    world.resolver.names["web"] = None
    apply(world, api=["web:80", "127.0.0.1:1"])
    assert addresses(world, "api") == ["127.0.0.1:1", "10.0.0.1:80"]


class HeldPort:
    """A port that notes whether it is held."""

    held = False

    def hold(self) -> None:
        self.held = True

    def resume(self) -> None:
        self.held = False


def test_at_the_start_clients_wait_until_names_were_looked_up(world: Any) -> None:
    """In the backlog, and only while a cluster has no endpoint at all."""
    port = HeldPort()
    world.listeners["edge"] = type("Live", (), {"ports": {"a": port}, "configure": None})()
    world.running = False
    resolver = world.resolver
    slow = world.new_cluster("slow", model.Cluster.model_validate({"endpoints": ["web:80"]}))
    world.clusters["slow"] = slow
    world.start()
    assert port.held
    resolver.pending.pop().callback(answer("10.0.0.1"))
    assert not port.held
    assert addresses(world, "slow") == ["10.0.0.1:80"]


def test_new_clusters_start_before_calls_go_to_them_and_old_ones_end_after(world: Any) -> None:
    apply(world, api=["127.0.0.1:1"])
    [one] = world.clusters["api"].endpoints
    change, _ = begin(world, api=["127.0.0.1:2"])
    change.open()
    for _ in change.begin():
        assert addresses(world, "api") == ["127.0.0.1:1"]
    change.swap()
    assert addresses(world, "api") == ["127.0.0.1:2"]
    assert not one.draining
    for _ in change.tidy():
        pass
    assert one.draining


def test_a_change_that_is_given_up_after_its_clusters_started_leaves_what_ran(world: Any) -> None:
    apply(world, api=["127.0.0.1:1"], other=["127.0.0.1:9"])
    before = dict(world.clusters)
    change, _ = begin(world, api=["127.0.0.1:2"], more=["127.0.0.1:3"])
    change.open()
    for _ in change.begin():
        pass
    change.give_up()
    assert world.clusters == before
    assert [each.state for each in before["api"].endpoints] == ["unchecked"]
    assert world.env.clock.getDelayedCalls() == []


def test_what_is_in_force_cannot_be_given_up(world: Any) -> None:
    change, _ = begin(world, api=["127.0.0.1:1"])
    change.commit()
    change.give_up()
    assert addresses(world, "api") == ["127.0.0.1:1"]
    assert not world.clusters["api"].endpoints[0].draining
