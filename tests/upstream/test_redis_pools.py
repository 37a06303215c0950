"""The connections to the servers of one Redis cluster."""

from __future__ import annotations

from typing import Any

from tests.upstream.fakes import FakeConnector, FakeEnv, cluster_config
from twisted_mesh.model.redis_servers import RedisServers
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.redis_pools import Pools


def new_cluster(connector: Any, env: Any, **limits: Any) -> Cluster:
    return Cluster("redis", cluster_config("10.0.0.1:6379", **limits), env, connector)


def pools_of(cluster: Cluster, connector: Any, env: Any, **config: Any) -> Pools:
    return Pools(cluster, RedisServers.model_validate(config), None, connector, env)


def test_each_server_has_one_pool_and_each_priority_with_a_limit_lanes_of_its_own() -> None:
    connector: Any = FakeConnector()
    connector.loop = type("Loop", (), {"call_soon": None})()
    env = FakeEnv()
    priorities = {"low": {"connections": 1}}
    cluster = new_cluster(connector, env, limits={"connections": 4, "priorities": priorities})
    pools, endpoint = pools_of(cluster, connector, env), cluster.endpoints[0]
    pool = pools.new_pool(endpoint)
    assert list(endpoint.pools.values()) == [pool]
    low, other = pools.lanes_of(endpoint, -1), pools.lanes_of(endpoint, 0)
    assert low is not other
    assert pools.lanes_of(endpoint, -1) is low
    assert len(endpoint.pools) == 3


def test_pools_that_an_endpoint_brings_along_go_by_the_new_options() -> None:
    connector: Any = FakeConnector()
    connector.loop = type("Loop", (), {"call_soon": None})()
    env = FakeEnv()
    before = new_cluster(connector, env)
    pool = pools_of(before, connector, env, in_flight=10).new_pool(before.endpoints[0])
    after = new_cluster(connector, env)
    after.adopt(before)
    pools_of(after, connector, env, in_flight=20).take_over()
    assert after.endpoints[0] is before.endpoints[0]
    assert pool.options.in_flight == 20
