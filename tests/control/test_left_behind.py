"""What a change leaves behind needs no garbage collector, for which calls would wait."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest
from twisted.internet.task import Clock

from tests.control.test_config_files import DIRECTORY, ENV, PATHS
from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.call import Call
from twisted_mesh.control.change import Change
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.load import load
from twisted_mesh.control.world import World
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.model import Address, Config

# Those that need what is not here: a bus, a reactor to look names up, certificates.
LEFT_OUT = (
    "registry.yaml",
    "shared-limits.yaml",
    "application.yaml",
    "complete.yaml",
    "names-and-ipv6.yaml",
    "tls.yaml",
)


@pytest.fixture
def world() -> Iterator[World]:
    """A world without any configuration, whose clock stands."""
    loop = asyncio.new_event_loop()
    made = World(make_env(Clock(), loop), loop, find_filter)
    made.running = True
    yield made
    made.stop()
    made.env.logs.keep(set())
    loop.close()


def version(path: Path, at: int) -> Config:
    """Return what a file says, with ports that are free, and with every cluster and route as of this version."""
    config = load(str(path), ENV)
    free = Address.parse("127.0.0.1:0")
    clusters = {name: each.model_copy(update={"connect_timeout": 1.0 + at}) for name, each in config.clusters.items()}
    listeners: dict[str, Any] = {}
    for name, each in config.listeners.items():
        bind = tuple(one.model_copy(update={"address": free}) for one in each.bind)
        listeners[name] = each.model_copy(update={"bind": bind})
    return config.model_copy(update={"clusters": clusters, "listeners": listeners, "access_log": None})


def apply(world: World, config: model.Config) -> None:
    change = Change(world, config)
    for _ in change.steps():
        pass
    change.commit()


def garbage() -> dict[str, int]:
    """Return how many objects of ours only a collector finds, by their type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        types = [type(each) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    # What stands in for parts of a sidecar may be left of tests before this one.
    ours = [each for each in types if each.__module__.startswith("twisted_mesh")]
    return Counter(
        f"{each.__module__}.{each.__name__}" for each in ours if not each.__module__.startswith("twisted_mesh.testing")
    )


@pytest.mark.parametrize("path", [each for each in PATHS if each.name not in LEFT_OUT], ids=lambda each: each.name)
def test_what_a_change_replaces_is_gone_without_a_collector(path: Path, world: World) -> None:
    apply(world, version(path, 1))
    apply(world, version(path, 2))
    gc.collect()
    gc.disable()
    try:
        apply(world, version(path, 3))
        assert garbage() == {}
    finally:
        gc.enable()


def test_a_call_in_flight_finds_its_way_when_its_cluster_was_replaced(world: World) -> None:
    path = DIRECTORY / "failover.yaml"
    apply(world, version(path, 1))
    cluster = next(iter(world.clusters.values()))
    forward = cluster.forwards["http"]
    apply(world, version(path, 2))
    assert next(iter(world.clusters.values())) is not cluster
    assert cluster.forwards["http"] is forward
    del forward
    call = Call("http", "edge", "GET", Headers())
    with pytest.raises(MeshError) as raised:
        cluster.forward(call)
    assert raised.value.kind is Kind.NO_CLUSTER
    assert "is gone" in raised.value.detail
