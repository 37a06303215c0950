"""``meshctl explain``, against sidecars in front of real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.cli.conftest import Meshctl
from tests.servers import Server
from tests.support import Answer, HttpUpstream, Mesh, free_port, free_ports, request, start_mesh, until


@pytest.fixture
def upstreams() -> Iterator[list[HttpUpstream]]:
    made = [HttpUpstream("one"), HttpUpstream("two")]
    yield made
    for each in made:
        each.stop()


def _config(port: int, upstreams: list[HttpUpstream], rate: str = "2/h", **cluster: Any) -> str:
    routes = [
        {"name": "old", "match": {"path": {"prefix": "/old"}}, "redirect": {"host": "new.example"}},
        {
            "name": "api",
            "match": {"host": ["shop.example"], "path": {"prefix": "/api"}, "header": {"x-team": "blue"}},
            "filters": [
                {"ratelimit": {"rate": rate, "key": ["source"]}},
                {"fault": {"abort": {"status": 503}, "mode": "shadow"}},
                {"headers": {"request": {"set": {"x-seen": "yes"}}}},
            ],
            "rewrite": {"prefix": "/v2"},
            "timeout": "7s",
            "to": "web",
        },
        {"name": "split", "match": {"path": {"prefix": "/split"}}, "to": [{"cluster": "web"}, {"cluster": "dead"}]},
        {"name": "few", "match": {"path": {"prefix": "/some"}, "percent": 1e-6}, "reply": {}},
        {"name": "other", "match": {"path": {"prefix": "/some"}, "method": "PUT", "percent": 50}, "reply": {}},
        {"name": "most", "match": {"path": {"prefix": "/some"}}, "to": "zoned"},
    ]
    zones = [{"address": f"127.0.0.1:{free_port()}", "zone": zone} for zone in "ab"]
    clusters = {
        "web": {"endpoints": [f"127.0.0.1:{each.port}" for each in upstreams], **cluster},
        "dead": {"endpoints": [f"127.0.0.1:{free_port()}"]},
        "zoned": {"endpoints": zones, "locality": {"weights": {"a": 3}}},
    }
    return json.dumps({"listeners": {"edge": {"bind": f"127.0.0.1:{port}", "routes": routes}}, "clusters": clusters})


def _series(mesh: Mesh) -> list[str]:
    """What the sidecar has counted, but for what asking it counts or moves."""
    lines = mesh.get("/metrics").body.decode().splitlines()
    moving = ("#", "process_", "python_", "twisted_mesh_loop", "twisted_mesh_process", "twisted_mesh_uptime")
    kept = [each for each in lines if not each.startswith(moving)]
    return [each for each in kept if "_lag" not in each and "_seconds" not in each.partition("{")[0]]


def test_a_call_is_explained_and_nothing_is_sent_or_counted(
    meshctl: Meshctl, upstreams: list[HttpUpstream], tmp_path: Path
) -> None:
    port = free_port()
    mesh = start_mesh(_config(port, upstreams), tmp_path)
    try:
        before = _series(mesh)
        asked = ("explain", "GET", f"http://shop.example:{port}/api/x?y=1", "-H", "x-team: blue", "--admin", mesh.admin)
        for _ in range(5):
            found = meshctl(*asked, "-o", "json").json
        assert found["listener"] == "edge"
        assert found["route"]["name"] == "api"
        assert [(each["name"], each["verdict"]) for each in found["filters"] if each["chain"] == "route"] == [
            ("rewrite", "change"),
            ("ratelimit", "pass"),
            ("fault", "refuse"),
            ("headers", "change"),
            ("retry", "pass"),
        ]
        assert next(each for each in found["filters"] if each["name"] == "fault")["mode"] == "shadow"
        assert "/v2/x?y=1" in found["filters"][2]["why"] + found["filters"][0]["why"] + str(found["filters"])
        addresses = [f"127.0.0.1:{each.port}" for each in upstreams]
        assert [each["address"] for each in found["candidates"]] == addresses
        assert all(each["in"] and each["score"] == 0 for each in found["candidates"])
        assert found["choice"] in addresses
        assert [each.seen for each in upstreams] == [[], []]
        assert _series(mesh) == before
        lines = meshctl(*asked).out.splitlines()
        assert lines[0].startswith("call:      GET shop.example/api/x?y=1")
        assert any(each.startswith("choice:    127.0.0.1:") for each in lines)
    finally:
        mesh.stop()


def test_what_refuses_and_what_answers_itself_is_named(
    meshctl: Meshctl, upstreams: list[HttpUpstream], tmp_path: Path
) -> None:
    port = free_port()
    mesh = start_mesh(_config(port, upstreams), tmp_path)
    try:

        def outcome(*words: str) -> str:
            return str(meshctl("explain", *words, "--admin", mesh.admin, "-o", "json").json["outcome"])

        for _ in range(2):
            assert request(port, "/api/x", headers={"host": "shop.example", "x-team": "blue"}).status == 200
        asked = ("GET", "http://shop.example/api/x", "-H", "x-team: blue")
        assert "refused by ratelimit" in outcome(*asked)
        assert "refused" not in outcome(*asked, "--source", "127.0.0.2")
        assert outcome("GET", "/old/a?b=c") == "redirected by the route: 302 //new.example/old/a?b=c"
        assert outcome("GET", "/nothing").startswith("refused, no_route")
        split = meshctl("explain", "GET", "/split", "--admin", mesh.admin).out
        assert "web 50 %, dead 50 %" in split
        assert "further up" not in split
        some = meshctl("explain", "GET", "/some", "--admin", mesh.admin).out
        assert "  few, further up, takes 1e-06 % of such calls\n" in some
        assert "other, further up" not in some
        assert "  zones: a 75 %, b 25 %\n" in some
        wrong = meshctl("explain", "GET", "/", "--listener", "none", "--admin", mesh.admin, status=1).err
        assert 'there is no listener "none"; there are edge (http)' in wrong
        for words in (("G T", "/"), ("GET", "/", "-H", "bad name: x"), ("GET", "/", "-H", "x: a\x01b")):
            wrong = meshctl("explain", *words, "--admin", mesh.admin, status=1).err
            assert "the listener would refuse the request" in wrong
    finally:
        mesh.stop()


def test_the_turn_that_is_shown_is_the_turn_that_comes(
    meshctl: Meshctl, upstreams: list[HttpUpstream], tmp_path: Path
) -> None:
    port = free_port()
    mesh = start_mesh(_config(port, upstreams, balance="round_robin"), tmp_path)
    try:
        asked = ("explain", "GET", f"http://localhost:{port}/api/", "-H", "host: shop.example", "-H", "x-team: blue")
        for _ in range(2):
            chosen = [meshctl(*asked, "--admin", mesh.admin, "-o", "json").json["choice"] for _ in range(2)]
            assert chosen[0] == chosen[1]
            before = [len(each.seen) for each in upstreams]
            request(port, "/api/", headers={"host": "shop.example", "x-team": "blue"})
            took = [f"127.0.0.1:{each.port}" for each, had in zip(upstreams, before) if len(each.seen) > had]
            assert took == [chosen[0]]
    finally:
        mesh.stop()


def test_why_an_endpoint_is_out(meshctl: Meshctl, upstreams: list[HttpUpstream], tmp_path: Path) -> None:
    broken = HttpUpstream("broken", lambda seen: Answer(503))
    port = free_port()
    breaker = {"failures": 3, "least": "1m", "most": "1m"}
    mesh = start_mesh(_config(port, [broken, upstreams[0]], "1000/h", breaker=breaker, balance="round_robin"), tmp_path)
    try:
        found: dict[str, Any] = {}

        def opened() -> bool:
            request(port, "/api/", headers={"host": "shop.example", "x-team": "blue"})
            answer = meshctl("explain", "endpoint", "web", "--admin", mesh.admin, "-o", "json").json
            found.update({each["address"]: each for each in answer["endpoints"]})
            return bool(found[f"127.0.0.1:{broken.port}"]["rule"])

        until(opened, "the breaker opens")
        out = found[f"127.0.0.1:{broken.port}"]
        assert (out["in"], out["rule"], out["conduct"]["breaker"]["state"]) == (False, "breaker", "open")
        assert out["until"] > 0
        assert "breaker open for" in out["why"]
        assert found[f"127.0.0.1:{upstreams[0].port}"]["in"] is True
        text = meshctl("explain", "endpoint", f"127.0.0.1:{broken.port}", "--admin", mesh.admin).out
        assert "breaker" in text and text.count("\n") == 2
        asked = ("explain", "GET", "/api/", "-H", "host: shop.example", "-H", "x-team: blue", "--admin", mesh.admin)
        assert f"choice:    127.0.0.1:{upstreams[0].port}" in meshctl(*asked).out
        nowhere = meshctl("explain", "endpoint", "nowhere", "--admin", mesh.admin, status=1).err
        assert 'there is no cluster "nowhere"' in nowhere
    finally:
        mesh.stop()
        broken.stop()


def test_commands_and_connections(meshctl: Meshctl, redis_server: Server, tmp_path: Path) -> None:
    redis, tcp = free_ports(2)
    listeners = {
        "cache": {
            "protocol": "redis",
            "bind": f"127.0.0.1:{redis}",
            "routes": [
                {"name": "users", "match": {"key": {"prefix": "user:"}}, "to": "shards"},
                {"name": "rest", "filters": [{"fault": {"abort": {}, "method": ["SET"]}}], "to": "one"},
            ],
        },
        "raw": {"protocol": "tcp", "bind": f"127.0.0.1:{tcp}", "routes": [{"name": "all", "to": "one"}]},
    }
    nobody = f"127.0.0.1:{free_port()}"
    clusters = {
        "one": {"endpoints": [redis_server.address]},
        "shards": {"endpoints": [redis_server.address, nobody], "redis": {"topology": "sharded"}},
    }
    mesh = start_mesh(json.dumps({"listeners": listeners, "clusters": clusters}), tmp_path)
    try:

        def explained(*words: str) -> Any:
            return meshctl("explain", *words, "--admin", mesh.admin, "-o", "json").json

        user = explained("GET", "user:1")
        assert user["route"]["name"] == "users"
        assert "the key belongs to" in user["why"]
        assert explained("SET", "other", "1")["outcome"].startswith("refused by fault")
        assert explained("GET", "other")["choice"] == redis_server.address
        assert explained("CONNECT", f"tcp://127.0.0.1:{tcp}")["route"]["name"] == "all"
        wrong = meshctl("explain", "NOSUCH", "key", "--admin", mesh.admin, status=1).err
        assert 'there is no command "NOSUCH"' in wrong
    finally:
        mesh.stop()
