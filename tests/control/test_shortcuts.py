"""Which listeners' ordinary commands need no calls."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.adapters.test_redis_shortcut import World
from tests.control.test_env import make_env
from twisted_mesh.control.compile import Chains
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.load import load_text
from twisted_mesh.control.shortcuts import ways_of
from twisted_mesh.control.world import World as MeshWorld

LISTENER = 'protocol: redis, bind: "127.0.0.1:6001"'
SERVERS = 'endpoints: ["127.0.0.1:6002"]'


def ways(listener: str, cluster: str = SERVERS, log: str = "off") -> Any:
    config = load_text(
        f"access_log: {log}\n"
        f"listeners: {{r: {{{LISTENER}, {listener}}}}}\n"
        f"clusters: {{r: {{{cluster}}}, other: {{{SERVERS}}}}}\n"
    )
    env = make_env(Clock())
    world = MeshWorld(env, World(False).loop, find_filter)  # type: ignore[arg-type]
    clusters = {name: world.new_cluster(name, each) for name, each in config.clusters.items()}
    for each in clusters.values():
        world.reach(each, "redis")
    steps = Chains(clusters, env, find=find_filter).listener("r", config)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return ways_of(stop.value)


@pytest.mark.parametrize(
    "routes",
    [
        "routes: [{to: r}]",
        "routes: [{to: r, retry: off, timeout: off}]",
        "routes: [{to: r, retry: {attempts: 3, budget: off}}]",
        "routes: [{to: r}, {match: {key: a}, to: other}]",
    ],
)
def test_the_default_chain_has_one(routes: str) -> None:
    found = ways(routes)
    assert found is not None
    assert (found.budget is None) == ("off" in routes)
    assert (found.rescue is None) == ("retry: off" in routes)
    assert len(found.completions) == 1


def test_shards_have_one() -> None:
    found = ways("routes: [{to: r}]", f"{SERVERS}, redis: {{topology: sharded}}")
    assert found is not None
    assert found.spread is not None
    assert ways("routes: [{to: r}]").spread is None


@pytest.mark.parametrize(
    ("listener", "cluster"),
    [
        ("routes: [{to: r}]", f"{SERVERS}, breaker: {{}}"),
        ("routes: [{to: r}]", f"{SERVERS}, balance: peak_ewma"),
        ("routes: [{match: {key: a}, to: r}, {to: r}]", SERVERS),
        ("routes: [{to: {r: 1, other: 1}}]", SERVERS),
        ("routes: [{to: r, priority: high}]", SERVERS),
        ("routes: [{to: r, failover: [other]}]", SERVERS),
        ("routes: [{to: r, mirror: {cluster: other}}]", SERVERS),
        ("routes: [{to: r, retry: {attempts: 2, when: [loading]}}]", SERVERS),
        ("routes: [{to: r, retry: {attempts: 2, hedge: {percentile: 99}}}]", SERVERS),
        ("routes: [{to: r, filters: [{fault: {abort: {percent: 1, status: 503}}}]}]", SERVERS),
        ("filters: [{ratelimit: {rate: 5/s}}], routes: [{to: r}]", SERVERS),
        ("routes: [{to: r}]", f"{SERVERS}, redis: {{topology: cluster}}"),
        ("routes: [{to: r}]", f"{SERVERS}, redis: {{topology: replicated}}"),
        ("routes: [{to: r}]", f"{SERVERS}, limits: {{calls: 5}}"),
        ("routes: []", SERVERS),
    ],
)
def test_what_wants_more_has_none(listener: str, cluster: str) -> None:
    assert ways(listener, cluster) is None


def test_an_access_log_of_everything_sees_calls() -> None:
    assert ways("routes: [{to: r}]", log="{path: /dev/null, calls: all}") is None
    assert ways("routes: [{to: r}]", log="{path: /dev/null}").slow == 0.01
    assert ways("routes: [{to: r}]", log="{path: /dev/null, slow: 1s}").slow == 1.0
