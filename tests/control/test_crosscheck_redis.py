"""What does not fit together in a configuration for Redis."""

from __future__ import annotations

import pytest

from tests.control.test_crosscheck import problems_of

DIGEST = f"sha256:{'0' * 64}"
ROUTES = "routes: [{to: a}]"
PLAIN = "{endpoints: ['a:1']}"


@pytest.mark.parametrize(
    ("listener", "cluster", "said"),
    [
        (
            f"redis: {{users: [{{name: ann, passwords: '{DIGEST}'}}, {{name: bob}}, {{name: ann}}]}}, {ROUTES}",
            PLAIN,
            "listeners.x.redis.users[2]: ann is given twice; first at f.yaml:1:63",
        ),
        (
            ROUTES,
            "{endpoints: [{address: 'a:1', name: s}, {address: 'a:2', name: s}], redis: {topology: sharded}}",
            "clusters.a.endpoints[1]: s is given twice; first at f.yaml:2:28",
        ),
        (
            ROUTES,
            "{endpoints: ['a:11211', {address: 'a:2', name: a}], redis: {topology: sharded}}",
            "clusters.a.endpoints[1]: a is given twice; first at f.yaml:2:28",
        ),
        (
            "routes: [{to: {a: 1}, mirror: [{cluster: a, command: '@write'}]}]",
            PLAIN,
            "listeners.x.routes[0].mirror[0].cluster: calls go to a already: what writes would be done there twice",
        ),
        (
            f"filters: [fault: {{abort: {{}}, method: [get, GTE]}}], {ROUTES}",
            PLAIN,
            'listeners.x.filters[0].fault.method: expected commands of Redis, such as GET, got "GTE"',
        ),
        (
            "routes: [{to: a, filters: [fault: {abort: {}, method: ['@write']}]}]",
            PLAIN,
            'listeners.x.routes[0].filters[0].fault.method: expected commands of Redis, such as GET, got "@write"',
        ),
        (
            f"filters: [ratelimit: {{rate: 1/s, status: 503}}], {ROUTES}",
            PLAIN,
            "listeners.x.filters[0].ratelimit.status: means nothing for redis listeners",
        ),
        (
            "routes: [{to: a, filters: [tracked_cache: {}]}]",
            "{endpoints: ['a:1', 'a:2'], redis: {topology: sharded}}",
            "listeners.x.routes[0].filters[0]: tracked_cache is for clusters with one primary that answers the reads; "
            "a has topology: sharded",
        ),
        (
            "routes: [{to: a, filters: [tracked_cache: {}]}]",
            "{endpoints: ['a:1', 'a:2'], redis: {topology: replicated, read: nearest}}",
            "listeners.x.routes[0].filters[0]: tracked_cache is for clusters with one primary that answers the reads; "
            "a has read: nearest",
        ),
        (
            ROUTES,
            "{endpoints: ['a:1'], health_check: {http: /}}",
            "clusters.a.health_check.http: means nothing for redis listeners, and no others lead to this cluster",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(listener: str, cluster: str, said: str) -> None:
    text = f"listeners: {{x: {{protocol: redis, bind: 'a:9', {listener}}}}}\nclusters: {{a: {cluster}}}\n"
    (problem,) = problems_of(text)
    assert problem.split(": ", 1)[1] == said


def test_names_that_are_not_placed_by_may_be_given_twice() -> None:
    cluster = "{endpoints: [{address: 'a:1', name: s}, {address: 'a:2', name: s}], redis: {topology: replicated}}"
    listener = f"{{protocol: redis, bind: 'a:9', {ROUTES}}}"
    assert not [
        each
        for each in problems_of(f"listeners: {{x: {listener}}}\nclusters: {{a: {cluster}}}\nnonsense: 1\n")
        if "twice" in each
    ]
