"""What may part the commands of a Redis listener."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.control.apart import Parting
from twisted_mesh.control.matches import conditions
from twisted_mesh.model import Cluster, Route
from twisted_mesh.policy.apart import by_key

CLUSTERS = {
    "one": Cluster.model_validate({"endpoints": ["127.0.0.1:6379"]}),
    "two": Cluster.model_validate({"endpoints": ["127.0.0.1:6380"]}),
    "ring": Cluster.model_validate(
        {"endpoints": ["127.0.0.1:6381"], "balance": "ring_hash", "hash": {"key": ["source", "key"]}}
    ),
    "sources": Cluster.model_validate({"endpoints": ["127.0.0.1:6382"], "balance": "maglev"}),
}


def found(*routes: dict[str, Any]) -> Any:
    parting = Parting(CLUSTERS)
    for each in routes:
        route = Route.model_validate(each)
        parting.add(route, conditions(route.match))
    return parting.found()


@pytest.mark.parametrize(
    "route",
    [
        {"to": {"one": 1, "two": 1}, "sticky": "key"},
        {"to": {"one": 1, "two": 1}, "sticky": ["identity", "path"]},
        {"to": "ring"},
        {"to": "one", "failover": "ring"},
        {"to": "one", "mirror": "ring"},
    ],
)
def test_the_key_may_decide(route: dict[str, Any]) -> None:
    assert found({"match": {"key": {"prefix": "a"}}, "to": "one"}, route) is by_key


@pytest.mark.parametrize(
    "route",
    [
        {"to": "one"},
        {"to": {"one": 1, "two": 1}},
        {"to": {"one": 1, "two": 1}, "sticky": "source"},
        {"to": "one", "sticky": "key"},
        {"to": "sources"},
        {"match": {"source": "10.0.0.0/8", "percent": 5}, "to": "one"},
    ],
)
def test_nothing_does(route: dict[str, Any]) -> None:
    assert found(route) is None


def test_matches_may_decide() -> None:
    apart = found({"match": {"key": {"pattern": "user:*:cart"}}, "to": "one"}, {"to": "two"})
    assert apart("GET", b"user:1:cart") == apart("GET", b"user:2:cart") != apart("GET", b"user:1")
    apart = found({"match": {"command": ["@write"]}, "to": "one"}, {"to": "two"})
    assert apart("SET", b"a") == apart("DEL", b"b") != apart("GET", b"a")
