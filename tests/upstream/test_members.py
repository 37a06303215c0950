"""The endpoints of a cluster that are configured; those of names and of the registry are in test_cluster."""

from __future__ import annotations

from typing import Any

from tests.upstream.fakes import FakeConnector, FakeEnv, FakeResolver, a_call, answer, cluster_config
from twisted_mesh.upstream.cluster import Cluster

ENDPOINTS = [
    {"address": "10.0.0.1:80", "labels": {"version": "v1"}, "zone": "a"},
    {"address": "10.0.0.2:80", "labels": {"version": "v2"}, "zone": "a"},
    {"address": "web:80", "labels": {"version": "v2"}, "zone": "b"},
]


def a_cluster(**options: Any) -> Cluster:
    resolver = FakeResolver(web=answer("10.0.0.3"))
    made = Cluster("api", cluster_config(*ENDPOINTS, **options), FakeEnv(), FakeConnector(), resolver)  # type: ignore[arg-type]
    made.start()
    return made


def test_a_subset_by_labels() -> None:
    for subset, expected in (
        ({"version": "v1"}, ["10.0.0.1:80"]),
        ({"version": "v2"}, ["10.0.0.2:80", "10.0.0.3:80"]),
        ({"version": "v2", "zone": "b"}, ["10.0.0.3:80"]),
        ({}, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]),
    ):
        cluster = a_cluster(subset=subset)
        assert [each.address for each in cluster.members.endpoints] == expected
        assert {cluster.pick(a_call()).address for _ in range(50)} == set(expected)
        cluster.stop()


def test_what_is_found_by_its_address() -> None:
    cluster = a_cluster()
    members = cluster.members
    assert repr(members) == "<Members of api: 3 endpoints>"
    assert members.find("10.0.0.2:80") is cluster.endpoints[1]
    assert members.find("10.9.9.9:80") is None
    assert members.resolved("web:80") == cluster.endpoints[2:] or list(members.resolved("web:80")) == [
        cluster.endpoints[2]
    ]
    cluster.stop()
