"""What can never have an effect, and what can although it looks so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.control.test_load import problems_of
from twisted_mesh.control.load import load_text

ENDPOINTS = {"endpoints": ["127.0.0.1:1"]}


def config(routes: Any, protocol: str = "http", *others: dict[str, Any], web: Any = None, **options: Any) -> str:
    """A listener with these routes, and others beside it; the routes are a table, and lead to the cluster `web`."""
    listener = {"protocol": protocol, "bind": "127.0.0.1:80", "routes": "table", **options}
    listeners = {f"l{at}": each for at, each in enumerate((listener, *others))}
    clusters = {"web": {**ENDPOINTS, **(web or {})}}
    return json.dumps({"listeners": listeners, "routes": {"table": routes}, "clusters": clusters})


def said(text: str) -> list[str]:
    return [each.partition(": ")[2] for each in problems_of(text)]


def route(**match: Any) -> dict[str, Any]:
    return {"match": match, "to": "web"}


@pytest.mark.parametrize(
    ("path", "said_of_it"),
    [
        ("/a/../b", "match.path: no call has such a path, as paths are normalised first: write /b"),
        ({"prefix": "//a"}, "match.path.prefix: no call has such a path, as paths are normalised first: write /a"),
        ("/%61", "match.path: no call has such a path, as paths are normalised first: write /a"),
        ("/\u00e9", "match.path: no call has such a path, as paths are normalised first: write /%C3%A9"),
        ({"template": "/a/./{b}"}, "match.path.template: no call has such a path, as paths are normalised first"),
        ("/a%2", 'match.path: no call has such a path, it is refused: path with a % that escapes nothing: "/a%2"'),
    ],
)
def test_paths_that_no_call_has_are_refused(path: Any, said_of_it: str) -> None:
    assert said(config([route(path=path)])) == [f"routes.table[0].{said_of_it}"]


@pytest.mark.parametrize(
    "path",
    ["/", "/a/", {"prefix": "/a/"}, "/a%2Fb", "/%C3%A9", {"template": "/{a}/*/b/{rest=**}"}, {"regex": "/a//b"}, "/.a"],
)
def test_paths_that_calls_may_have_are_not(path: Any) -> None:
    load_text(config([route(path=path)]))


def test_a_listener_that_leaves_paths_as_they_are_has_others() -> None:
    as_is = {"bind": "127.0.0.1:81", "routes": "table", "http": {"normalise": {"merge_slashes": False}}}
    load_text(config([route(path="//a")], "http", as_is))
    decoding = {"normalise": {"escaped_slashes": "decode"}}
    assert said(config([route(path="/a%2Fb")], http=decoding)) == [
        "routes.table[0].match.path: no call has such a path, as paths are normalised first: write /a/b"
    ]


def test_ports_that_no_listener_has_are_refused() -> None:
    assert said(config([route(port=99)], "tcp")) == [
        "routes.table[0].match.port: no client can connect to that, as the listener listens on 80"
    ]
    assert said(config([route(port=99)], "tcp", bind="unix:/x")) == [
        "routes.table[0].match.port: no client can connect to that, as the listener has no port"
    ]
    load_text(config([route(port=99)], "tcp", bind="127.0.0.1:0"))
    load_text(config([route(port=[99, 80])], "tcp"))
    load_text(config([route(port=99)], "tcp", {"protocol": "tcp", "bind": "127.0.0.1:99", "routes": "table"}))


@pytest.mark.parametrize(
    ("protocol", "web", "where"),
    [
        ("tcp", {"affinity": {"cookie": "at"}}, "affinity"),
        ("redis", {"affinity": {"cookie": "at"}}, "affinity"),
        ("http", {"redis": {"topology": "replicated"}}, "redis.topology"),
        ("redis", {"pool": {"max_requests": 5}}, "pool.max_requests"),
        ("tcp", {"pool": {"max_connections": 5}}, "pool.max_connections"),
        ("redis", {"pool": {"max_pending": 5}}, "pool.max_pending"),
        ("tcp", {"balance": "maglev", "hash": {"key": ["source", {"header": "x-user"}]}}, "hash.key[1]"),
    ],
)
def test_what_a_cluster_says_for_others_than_come_is_refused(protocol: str, web: Any, where: str) -> None:
    message = f"means nothing for {protocol} listeners, and no others lead to this cluster"
    assert said(config([{"to": "web"}], protocol, web=web)) == [f"clusters.web.{where}: {message}"]
    # Somebody else comes, or nobody.
    both = [
        {"protocol": each, "bind": f"127.0.0.1:8{at}", "routes": [{"to": "web"}]}
        for at, each in enumerate(("http", "redis", "tcp"), 1)
    ]
    load_text(config([{"to": "web"}], protocol, *both, web=web))
    load_text(json.dumps({"clusters": {"web": {**ENDPOINTS, **web}}}))


def test_a_reserve_and_a_mirror_are_called_too() -> None:
    affinity = {"affinity": {"cookie": "at"}}
    for way in ({"failover": "web"}, {"mirror": "web"}):
        clusters = {"web": {**ENDPOINTS, **affinity}, "other": ENDPOINTS}
        listener = {"bind": "127.0.0.1:80", "routes": [{"to": "other", **way}]}
        load_text(json.dumps({"listeners": {"a": listener}, "clusters": clusters}))
        assert said(json.dumps({"listeners": {"a": {**listener, "protocol": "redis"}}, "clusters": clusters}))


def test_a_route_that_is_refused_might_have_led_there() -> None:
    text = config(
        [{"to": "web"}],
        "redis",
        {"bind": "127.0.0.1:81", "routes": [{"to": "web", "timeout": "x"}]},
        web={"affinity": {"cookie": "at"}},
    )
    assert [each.split(":")[0] for each in said(text)] == ["listeners.l1.routes[0].timeout"]
