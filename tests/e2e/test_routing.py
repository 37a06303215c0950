"""Routes of a running sidecar: what they match, where they send it, and what the endpoint is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.e2e.support import Edge, edge_config
from tests.support import Answer, HttpUpstream, Seen, free_ports, request, start_mesh, until

# More than are looked at one after the other.
ROUTES: list[dict[str, Any]] = [
    {"match": {"path": {"prefix": "/api"}}, "to": "a", "rewrite": {"prefix": "/v2", "host": "inner.example"}},
    {
        "match": {"path": {"template": "/users/{user}/photos/{photo}"}},
        "to": "a",
        "rewrite": {"path": "/photos/{photo}/of/{user}"},
    },
    {"match": {"path": {"regex": "/items/[0-9]+"}}, "to": "b"},
    {"match": {"path": {"prefix": "/old"}}, "redirect": {"prefix": "/new", "status": 301}},
    {"match": {"query": {"version": "next"}}, "to": "b"},
    {"match": {"cookie": {"version": {"prefix": "next"}}}, "to": "b"},
    {"match": {"header": {"user-agent": {"contains": "Mobile"}}}, "to": "b"},
    {"match": {"path": "/inside", "source": "10.0.0.0/8"}, "reply": {"status": 200}},
    {"match": {"path": "/inside", "source": ["192.168.0.0/16", "127.0.0.0/8"]}, "to": "b"},
    {"match": {"path": "/side", "listener": "side"}, "to": "b"},
    {"match": {"path": "/never", "percent": 0}, "to": "b"},
    {"match": {"path": "/reserve"}, "to": "down", "failover": "b"},
    {"match": {"path": "/sticky"}, "to": {"a": 1, "b": 1}, "sticky": {"header": "x-user"}},
    {
        "match": {"path": {"prefix": "/mirrored"}},
        "to": "a",
        "mirror": {"cluster": "b", "compare": {"headers": "x-seen"}},
    },
    {"to": "a"},
]


def upstream(name: str) -> HttpUpstream:
    """A server that answers with what it was asked."""

    def respond(seen: Seen) -> Answer:
        return Answer(200, [("x-seen", f"{name} {seen.header('host')} {seen.path}")], b"")

    return HttpUpstream(name, respond)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    directory: Path = tmp_path_factory.mktemp("routing")
    servers = [upstream("a"), upstream("b")]
    port, side, nobody = free_ports(3)
    config = edge_config(directory, port, {each.name: [each.address] for each in servers})
    check = {"tcp": True, "interval": "100ms", "unhealthy": 1}
    config["clusters"]["down"] = {"endpoints": [f"127.0.0.1:{nobody}"], "health_check": check}
    config["routes"] = {"table": ROUTES}
    config["listeners"]["edge"]["routes"] = "table"
    config["listeners"]["side"] = {"bind": f"127.0.0.1:{side}", "routes": "table"}
    mesh = start_mesh(json.dumps(config), directory)
    mesh.ports["side"] = side
    yield Edge(mesh, port, directory / "access.log")
    mesh.stop()
    for each in servers:
        each.stop()


def seen(port: int, path: str, **headers: str) -> str:
    """The cluster that was asked, for which host, for which path."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = request(port, path, headers={"host": "shop.example", **named})
    assert answer.status == 200
    return answer.header("x-seen") or "nobody"


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/api", {}, "a inner.example /v2"),
        ("/api/x%20y?z=1", {}, "a inner.example /v2/x%20y?z=1"),
        ("/apis", {}, "a shop.example /apis"),
        ("/users/7/photos/8?size=1", {}, "a shop.example /photos/8/of/7?size=1"),
        ("/users/7/photos/8/9", {}, "a shop.example /users/7/photos/8/9"),
        ("/items/42", {}, "b shop.example /items/42"),
        ("/items/x", {}, "a shop.example /items/x"),
        ("/?a&version=ne%78t", {}, "b shop.example /?a&version=ne%78t"),
        ("/?version=next2", {}, "a shop.example /?version=next2"),
        ("/", {"cookie": "a=1; version=next-3"}, "b shop.example /"),
        ("/", {"user_agent": "A (Mobile)"}, "b shop.example /"),
        ("/inside", {}, "b shop.example /inside"),
        ("/side", {}, "a shop.example /side"),
        ("/never", {}, "a shop.example /never"),
    ],
)
def test_where_calls_go(edge: Edge, path: str, headers: dict[str, str], expected: str) -> None:
    assert seen(edge.port, path, **headers) == expected


def test_a_route_of_another_listener(edge: Edge) -> None:
    assert seen(edge.mesh.ports["side"], "/side") == "b shop.example /side"


def test_a_redirect_keeps_what_follows_the_prefix(edge: Edge) -> None:
    answer = request(edge.port, "/old/a?b=c")
    assert (answer.status, answer.header("location")) == (301, "/new/a?b=c")


def test_a_split_that_is_sticky(edge: Edge) -> None:
    first = [seen(edge.port, "/sticky", x_user=str(user)) for user in range(12)]
    assert [seen(edge.port, "/sticky", x_user=str(user)) for user in range(12)] == first
    assert len(set(first)) == 2


def test_the_log_says_what_was_asked(edge: Edge) -> None:
    seen(edge.port, "/api/logged")
    assert edge.line("/api/logged")["route"] == "table[0]"


def test_a_mirror_hears_the_same_and_is_compared(edge: Edge) -> None:
    """Bodies of their own read as well, as most clients send them."""
    for number in range(3):
        answer = request(edge.port, f"/mirrored/{number}", "POST", body=b"data" * number)
        assert (answer.header("x-seen") or "").startswith("a ")
    until(lambda: edge.mesh.metric("twisted_mesh_upstream_mirror_calls_total", cluster="b", result="answered") == 3)
    until(lambda: edge.mesh.metric("twisted_mesh_upstream_mirror_compared_total", cluster="b", result="different") == 3)
    assert "the mirror b answers" in edge.mesh.output()


def test_calls_go_to_a_reserve_while_no_endpoint_is_healthy(edge: Edge) -> None:
    until(lambda: request(edge.port, "/reserve").status == 200)
    assert seen(edge.port, "/reserve") == "b shop.example /reserve"
    assert edge.mesh.metric("twisted_mesh_upstream_failovers_total", cluster="down") >= 2
