from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.cluster import Cluster, HealthCheck, RedisCheck
from twisted_mesh.model.redis_servers import RedisServers, Shards

ONE = ["127.0.0.1:6379"]
SENTINEL = {"name": "main", "addresses": "10.0.0.1:26379"}


def test_the_defaults() -> None:
    servers = RedisServers()
    assert (servers.topology, servers.read, servers.db, servers.connections) == ("single", "primary", 0, 1)
    assert servers.placing == Shards(distribution="ketama", hash="fnv1a_64", tag="{}", eject=False)


@pytest.mark.parametrize(
    "redis",
    [
        {"topology": "replicated", "read": "prefer_replica"},
        {"topology": "replicated", "read": "nearest"},
        {"topology": "cluster", "read": "any", "refresh": "1s"},
        {"topology": "sharded", "shards": {"distribution": "modulo", "hash": "crc32a", "tag": "$$", "eject": True}},
        {"topology": "sharded", "shards": {"tag": ""}},
        {"username": "mesh", "password": "secret", "db": 3, "connections": 2},
    ],
)
def test_what_is_right(redis: dict[str, Any]) -> None:
    assert Cluster.model_validate({"endpoints": ONE, "redis": redis}).redis is not None


def test_sentinels_stand_for_the_endpoints() -> None:
    cluster = Cluster.model_validate({"redis": {"topology": "sentinel", "sentinel": SENTINEL}})
    assert cluster.redis is not None
    assert cluster.redis.sentinel is not None
    assert str(cluster.redis.sentinel.addresses[0]) == "10.0.0.1:26379"


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"endpoints": ONE, "redis": {"topology": "ring"}}, "single, replicated, sharded, cluster or sentinel"),
        ({"endpoints": ONE, "redis": {"topology": "sharded", "read": "any"}}, "sharded has none"),
        ({"endpoints": ONE, "redis": {"shards": {}}}, "shards is for topology: sharded"),
        ({"endpoints": ONE, "redis": {"topology": "sharded", "shards": {"tag": "{"}}}, "two characters"),
        ({"endpoints": ONE, "redis": {"topology": "sharded", "shards": {"hash": "sha1"}}}, "fnv1a_64"),
        ({"endpoints": ONE, "redis": {"topology": "cluster", "db": 1}}, "database 0 alone"),
        ({"redis": {"topology": "sentinel"}}, "belong together"),
        ({"endpoints": ONE, "redis": {"sentinel": SENTINEL}}, "belong together"),
        (
            {"endpoints": ONE, "redis": {"topology": "sentinel", "sentinel": SENTINEL}},
            "those that the Sentinels know",
        ),
        (
            {"redis": {"topology": "sentinel", "sentinel": {"name": "main", "addresses": "redis:26379"}}},
            "an IP address with a port",
        ),
        ({"redis": {"topology": "cluster"}}, "expected endpoints"),
        ({"endpoints": ONE, "redis": {"refresh": "9s"}}, "refresh is for topologies whose servers are asked"),
        (
            {"endpoints": ONE, "redis": {"topology": "cluster"}, "balance": "peak_ewma"},
            "balance: peak_ewma means nothing for redis.topology cluster",
        ),
        (
            {"endpoints": ONE, "redis": {"topology": "replicated"}, "locality": {}},
            "locality means nothing for redis.topology replicated; see redis.read: nearest",
        ),
        (
            {"endpoints": ONE, "redis": {"topology": "sharded"}, "slow_start": "5s"},
            "slow_start means nothing for redis.topology sharded",
        ),
    ],
)
def test_what_is_wrong_is_said(cluster: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Cluster.model_validate(cluster)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(RedisServers(password="secret"))


def test_a_check_is_a_word_or_says_more() -> None:
    assert HealthCheck.model_validate({"redis": True}).redis == RedisCheck()
    check = HealthCheck.model_validate({"redis": {"key": "maintenance", "role": "primary"}}).redis
    assert check == RedisCheck(key="maintenance", role="primary")
    with pytest.raises(ValidationError, match="exactly one of"):
        HealthCheck.model_validate({"redis": False})
