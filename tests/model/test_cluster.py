"""Clusters: forms, defaults, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.cluster import Cluster, Dns, Endpoint, HealthCheck, Pool
from twisted_mesh.model.units import Address

ONE = ["127.0.0.1:9001"]


def test_an_endpoint_is_an_address_or_an_object() -> None:
    written = ["127.0.0.1:9001", "unix:/run/a.sock", {"address": "b.example:2", "weight": 2, "labels": {"v": "2"}}]
    assert Cluster.model_validate({"endpoints": written}).endpoints == (
        Endpoint(address=Address("127.0.0.1", 9001)),
        Endpoint(address=Address("", 0, "/run/a.sock")),
        Endpoint(address=Address("b.example", 2), weight=2, labels={"v": "2"}),
    )


def test_the_defaults_are_those_of_the_documentation() -> None:
    cluster = Cluster.model_validate({"endpoints": ONE})
    assert (cluster.balance, cluster.connect_timeout, cluster.panic_threshold) == ("least_request", 1.0, 50.0)
    assert cluster.health_check is None
    assert cluster.pool == Pool(max_connections=1024, max_idle=1024, idle_timeout=55.0, max_pending=1024)
    assert cluster.dns == Dns(refresh=30.0, family="any")
    check = HealthCheck(tcp=True)
    assert (check.interval, check.timeout, check.healthy, check.unhealthy) == (5.0, 1.0, 2, 3)
    assert check.expect == ((200, 299),)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "expected endpoints, at least one, or a service"),
        ({"subset": {"version": "v1"}}, "no endpoint has the labels of the subset"),
        ({"endpoints": ONE, "service": "web"}, "expected either endpoints or a service, not both"),
        ({"endpoints": []}, "expected endpoints, at least one, or a service"),
        ({"endpoints": ["a:0"]}, "expected a port from 1 to 65535"),
        ({"endpoints": [{"address": "a:1", "weight": 0}]}, "greater than or equal to 1"),
        ({"endpoints": ONE, "hash": {"key": "host"}}, "hash is for the balances ring_hash and maglev"),
        (
            {"endpoints": ONE, "balance": "robin"},
            "expected round_robin, random, least_request, peak_ewma, ring_hash or maglev",
        ),
        ({"endpoints": ONE, "health_check": {}}, "exactly one of http: /path, tcp: true and redis: true"),
        ({"endpoints": ONE, "health_check": {"http": "/", "tcp": True}}, "exactly one of"),
        ({"endpoints": ONE, "health_check": {"http": "healthz"}}, "expected a path such as /healthz"),
        ({"endpoints": ONE, "health_check": {"http": "/a b"}}, "expected a path such as /healthz"),
        ({"endpoints": ONE, "health_check": {"tcp": True, "interval": "0s"}}, "more than 0"),
        ({"endpoints": ONE, "health_check": {"http": "/", "expect": []}}, "expected at least one"),
        ({"endpoints": ONE, "health_check": {"tcp": True, "expect": "204"}}, "expect is for http: /path"),
        ({"endpoints": ONE, "health_check": {"redis": {}, "host": "a"}}, "host is for http: /path"),
        ({"endpoints": ONE, "port": "http"}, "port is for a service"),
        ({"endpoints": ONE, "keep_last_good": "5s"}, "keep_last_good is for a service"),
        ({"endpoints": [{"address": "a:1", "name": "b"}]}, "endpoints: a name, b, is for redis.topology sharded"),
        ({"endpoints": ONE, "panic_threshold": 101}, "less than or equal to 100"),
        ({"endpoints": ONE, "pool": {"max_idle": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Cluster.model_validate(written)
