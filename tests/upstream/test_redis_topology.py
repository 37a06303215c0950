"""Shards, and which endpoints they are."""

from __future__ import annotations

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv
from tests.upstream.redis_told import RedisWorld, address
from twisted_mesh import model
from twisted_mesh.errors import MeshError
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.redis_topology import Sharded, _instances


def test_instances_of_a_service_are_shards() -> None:
    """By their label, or by what they are called; the order in which they register does not matter."""
    target = model.Address.parse
    known = [
        Endpoint(target("10.0.0.3:6379"), instance="c"),
        Endpoint(target("10.0.0.2:6379"), instance="b", labels={"shard": "zero"}, weight=2),
        Endpoint(target("10.0.0.1:6379"), instance="a"),
    ]
    shards = _instances(known)
    assert [(name, weight) for name, _, weight in shards] == [("a", 1), ("c", 1), ("zero", 2)]
    assert shards == _instances(known[::-1])


def test_keys_stay_where_they_are_when_an_address_changes() -> None:
    """A shard with a name is the same one at another address."""

    def placed(*hosts: str) -> dict[bytes, str]:
        endpoints = [{"address": f"{host}:6379", "name": f"s{at}"} for at, host in enumerate(hosts)]
        config = model.Cluster.model_validate({"endpoints": endpoints, "redis": {"topology": "sharded"}})
        cluster = Cluster("redis", config, FakeEnv(), FakeConnector())  # type: ignore[arg-type]
        cluster.start()
        assert config.redis is not None
        topology = Sharded(cluster, config.redis, lambda: "")
        groups = {key: topology.group(key) for key in (b"k%d" % each for each in range(50))}
        return {key: group.name for key, group in groups.items() if group is not None}

    assert placed("10.0.0.1", "10.0.0.2") == placed("10.0.0.8", "10.0.0.9")
    assert len(set(placed("10.0.0.1", "10.0.0.2").values())) == 2


def test_a_shard_without_a_name_is_called_as_twemproxy_calls_it() -> None:
    """By its address: memcached's own port is left out, and a unix socket is its path alone."""
    written = ["10.0.0.1:6379", "10.0.0.1:11211", "unix:/run/redis.sock", {"address": "[::1]:6379", "name": "named"}]
    config = model.Cluster.model_validate({"endpoints": written, "redis": {"topology": "sharded"}})
    cluster = Cluster("redis", config, FakeEnv(), FakeConnector())  # type: ignore[arg-type]
    cluster.start()
    assert config.redis is not None
    shards = Sharded(cluster, config.redis, lambda: "")._shards()
    assert [name for name, _, _ in shards] == ["10.0.0.1:6379", "10.0.0.1", "/run/redis.sock", "named"]


def test_a_shard_that_is_out_fails_or_is_ejected(shards: RedisWorld) -> None:
    ejecting = RedisWorld(3, topology="sharded", shards={"hash": "md5", "eject": True})
    gone = [key for key in (f"k{each}" for each in range(30)) if _number(shards, key) == 2]
    assert gone
    for world in (shards, ejecting):
        for each in world.cluster.endpoints:
            each.checked, each.healthy = True, each.address != address(2)
        world.cluster.refresh()
    for key in gone:
        with pytest.raises(MeshError, match="no server that answers reads takes commands"):
            shards.call(f"GET {key}")
        ejecting.call(f"GET {key}")
    assert {each.number for each in ejecting.take()} <= {1, 3}


def _number(world: RedisWorld, key: str) -> int:
    group = world.topology.group(key.encode())
    assert group is not None
    assert group.primary is not None
    return int(group.primary.target.host.rpartition(".")[2])
