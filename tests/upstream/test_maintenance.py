"""Clusters that are under maintenance."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.upstream.fakes import FakeEnv, a_call
from tests.upstream.test_overruled import A, B, FakeOverrides, a_cluster
from twisted_mesh.bus.overrides import Override
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.upstream.cluster import Cluster


class World:
    def __init__(self, **options: Any) -> None:
        self.env = FakeEnv()
        self.overrides = FakeOverrides()
        self.cluster: Cluster = a_cluster(self.overrides, self.env, **options)

    def say(self, percent: float = 0.0, kind: str = "maintenance", reason: str = "disk") -> None:
        self.overrides.found.pop("*", None)
        if percent:
            self.overrides.found["*"] = Override(
                scope="cluster",
                name="api",
                endpoint="*",
                kind=kind,
                ttl=60.0,
                percent=percent,
                author="ann",
                reason=reason,
                expires=9000,
            )
        for each in list(self.overrides.listeners):
            each()

    def turned_away(self, calls: int = 100) -> int:
        refused = 0
        for _ in range(calls):
            try:
                self.cluster.pick(a_call())
            except MeshError as error:
                assert error.kind is Kind.MAINTENANCE
                assert error.flag == "MM"
                refused += 1
        return refused


def test_all_calls_are_turned_away_until_it_ends() -> None:
    world = World()
    assert world.turned_away() == 0
    world.say(100.0)
    assert world.turned_away() == 100
    assert (world.cluster.ready, world.cluster.trouble) == (False, "under maintenance by ann: disk")
    assert len(world.cluster.usable) == 2
    assert world.cluster.describe()["maintenance"] == {
        "percent": 100.0,
        "author": "ann",
        "reason": "disk",
        "until": 9.0,
        "remembered": False,
    }
    assert world.env.count("cluster_maintenance_percent", "api") == 100
    assert world.env.count("cluster_maintenance_refused_total", "api") == 100
    world.say()
    assert world.turned_away() == 0
    assert world.cluster.ready
    assert world.cluster.describe()["maintenance"] is None
    assert world.env.said == [
        "warn cluster api is under maintenance by ann: disk",
        "info cluster api is under maintenance no more",
    ]


def test_what_was_remembered_and_holds_still_is_said_once() -> None:
    world = World()
    world.say(100.0)
    world.overrides.found["*"] = replace(world.overrides.found["*"], remembered=True)
    for each in list(world.overrides.listeners):
        each()
    shown = world.cluster.describe()["maintenance"]
    assert isinstance(shown, dict)
    assert shown["remembered"]
    world.say(100.0)
    assert world.env.said == ["warn cluster api is under maintenance by ann: disk"]


def test_a_share_of_the_calls_is_turned_away() -> None:
    world = World()
    world.say(25.0, reason="")
    assert 180 < world.turned_away(1000) < 320
    assert (world.cluster.ready, world.cluster.trouble) == (True, "")
    assert repr(world.cluster.switch) == "<Switch of api: under maintenance for 25 % of the calls by ann>"
    world.say(100.0)
    assert world.turned_away() == 100


def test_tries_that_follow_are_turned_away_too() -> None:
    world = World()
    world.say(100.0)
    call = a_call()
    call.tried = (world.cluster.endpoints[0],)
    with pytest.raises(MeshError, match="under maintenance"):
        world.cluster.pick(call)


def test_keys_do_not_pass_it_by() -> None:
    world = World(balance="ring_hash", hash={"key": "path"})
    world.say(100.0)
    assert world.turned_away() == 100


def test_a_cluster_that_is_made_meanwhile_is_under_maintenance_too() -> None:
    world = World()
    world.say(100.0)
    after = a_cluster(world.overrides, world.env)
    assert not after.ready
    assert after.switch.closed


def test_other_overrides_go_on() -> None:
    world = World()
    world.overrides.say(a={"kind": "drain"})
    world.say(50.0)
    assert [each.address for each in world.cluster.usable] == [B]
    world.say(10.0, kind="weight")
    assert not world.cluster.switch.on
    assert repr(world.cluster.switch) == "<Switch of api: off>"
    assert world.cluster.endpoints[0].address == A
