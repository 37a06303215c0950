"""Names that lead nowhere are found whatever else is wrong."""

from __future__ import annotations

import pytest

from tests.control.test_load import problems_of
from twisted_mesh.control.references import missing_references
from twisted_mesh.control.yamlfile import read_yaml
from twisted_mesh.errors import Problem


def missing(text: str) -> list[str]:
    """Return what is said to be missing in a text, which need not be a configuration otherwise."""
    problems: list[Problem] = []
    tree = read_yaml(text, "f.yaml", problems, None)
    assert problems == []
    return [str(each) for each in missing_references(tree)]


def test_every_form_of_a_reference_is_known() -> None:
    text = """\
routes:
  shop: [{to: a}, {to: {b: 1, 5: 2}}, {to: [{cluster: c}, {cluster: 6}]}]
listeners:
  edge: {routes: shopp}
  side: {routes: [{to: d}]}
clusters: {good: {}}
"""
    assert missing(text) == [
        'f.yaml:2:15: routes.shop[0].to: there is no cluster "a"; known are good',
        'f.yaml:2:25: routes.shop[1].to.b: there is no cluster "b"; known are good',
        'f.yaml:2:31: routes.shop[1].to.5: there is no cluster "5"; known are good',
        'f.yaml:2:55: routes.shop[2].to[0].cluster: there is no cluster "c"; known are good',
        'f.yaml:2:69: routes.shop[2].to[1].cluster: there is no cluster "6"; known are good',
        'f.yaml:4:18: listeners.edge.routes: there is no routing table "shopp"; did you mean "shop"?',
        'f.yaml:5:24: listeners.side.routes[0].to: there is no cluster "d"; known are good',
    ]


def test_reserves_are_references_too() -> None:
    text = "routes: {shop: [{failover: a}, {failover: [good, b]}]}\nclusters: {good: {}}"
    assert [each.split(": ", 1)[1] for each in missing(text)] == [
        'routes.shop[0].failover: there is no cluster "a"; known are good',
        'routes.shop[1].failover[1]: there is no cluster "b"; known are good',
    ]


def test_mirrors_are_references_too() -> None:
    text = (
        "routes: {shop: [{mirror: a}, {mirror: {cluster: b}}, {mirror: [good, {cluster: c}, d]}]}\nclusters: {good: {}}"
    )
    assert [each.split(": ", 1)[1] for each in missing(text)] == [
        'routes.shop[0].mirror: there is no cluster "a"; known are good',
        'routes.shop[1].mirror.cluster: there is no cluster "b"; known are good',
        'routes.shop[2].mirror[1].cluster: there is no cluster "c"; known are good',
        'routes.shop[2].mirror[2]: there is no cluster "d"; known are good',
    ]


@pytest.mark.parametrize(
    "text",
    [
        "routes: {a: [{mirror: 5.5}, {mirror: [[x]]}, {mirror: {}}, {mirror: {cluster: []}}, {mirror: }]}\nclusters: [a]",
        "listeners: 5\nroutes: x\nclusters: [a]",
        "listeners: [a]\nroutes: {a: 5, b: [5, [], {to: []}, {to: 5}, {to: [5, {cluster: []}]}, {to: {a: x}}]}",
        "listeners: {a: 5, b: {}, c: {routes: {}}, d: {routes: }}",
        # All of a kind cannot be read: any name may stand there.
        "clusters: [web]\nlisteners: {a: {routes: [{to: web}]}}",
        "routes: [shop]\nlisteners: {a: {routes: shop}}",
        # They are there, though refused.
        "clusters: {web: 5}\nroutes: {shop: 5}\nlisteners: {a: {routes: shop}, b: {routes: [{to: web}]}}",
    ],
)
def test_what_is_no_name_or_may_exist_is_not_missing(text: str) -> None:
    assert missing(text) == []


def test_they_are_said_beside_mistakes_in_the_same_places() -> None:
    text = """\
admin: 127.0.0.1:80
listeners:
  a: {bind: "127.0.0.1:80", protocol: ftp, routes: shop}
  b: {bind: ["0.0.0.0:80"], max_connections: many, routes: [{to: api, timeout: 5}, {to: {wbe: 0}}]}
clusters: {web: {endpoints: ["a:1", "a:1"], balance: none}}
"""
    assert problems_of(text) == [
        "f.yaml:3:13: listeners.a.bind: 127.0.0.1:80 is taken by admin (127.0.0.1:80, f.yaml:1:8)",
        'f.yaml:3:39: listeners.a.protocol: expected http, redis or tcp, got "ftp"',
        'f.yaml:3:52: listeners.a.routes: there is no routing table "shop"; there are none',
        "f.yaml:4:14: listeners.b.bind[0]: 0.0.0.0:80 is taken by admin (127.0.0.1:80, f.yaml:1:8)",
        'f.yaml:4:46: listeners.b.max_connections: expected a whole number, got "many"',
        'f.yaml:4:66: listeners.b.routes[0].to: there is no cluster "api"; known are web',
        "f.yaml:4:80: listeners.b.routes[0].timeout: expected a duration with a unit, such as 5s or 5ms, got 5",
        'f.yaml:4:90: listeners.b.routes[1].to.wbe: there is no cluster "wbe"; did you mean "web"?',
        "f.yaml:4:95: listeners.b.routes[1].to.wbe: expected at least 1, got 0",
        "f.yaml:5:37: clusters.web.endpoints[1]: a:1 is given twice; first at f.yaml:5:30",
        'f.yaml:5:54: clusters.web.balance: expected round_robin, random, least_request, peak_ewma, ring_hash or maglev, got "none"',
    ]


def test_what_means_nothing_for_the_protocol_is_said_beside_mistakes() -> None:
    text = "listeners: {a: {bind: 'a:1', protocol: tcp, max_connections: x, routes: [{to: w, tmeout: 1, match: {}}, "
    text += "{to: w, timeout: 5, match: {path: /}}]}}\nclusters: {w: {endpoints: ['a:1']}}"
    assert [each.split(": ")[1] for each in problems_of(text)] == [
        "listeners.a.max_connections",
        "listeners.a.routes[0].tmeout",
        "listeners.a.routes[1].timeout",
        "listeners.a.routes[1].match.path",
    ]
