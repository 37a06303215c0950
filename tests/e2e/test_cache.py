"""Replies that are kept and calls that are joined, with real clients and a real server."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support import Answer, HttpUpstream, Seen, free_port, request, start_mesh, until


def _config(port: int, upstream: HttpUpstream, *filters: object) -> str:
    routes = [
        {"match": {"path": {"prefix": "/plain"}}, "to": "web"},
        {"filters": list(filters), "to": "web"},
    ]
    listener = {"bind": f"127.0.0.1:{port}", "routes": routes}
    clusters = {"web": {"endpoints": [f"127.0.0.1:{upstream.port}"]}}
    return json.dumps({"listeners": {"edge": listener}, "clusters": clusters})


def test_kept_replies(tmp_path: Path) -> None:
    def respond(seen: Seen) -> Answer:
        return Answer(200, [("Cache-Control", "max-age=600"), ("ETag", '"v"')], f"{len(upstream.seen)}".encode())

    upstream = HttpUpstream("web", respond)
    port = free_port()
    mesh = start_mesh(_config(port, upstream, "cache"), tmp_path)
    try:
        first = request(port, "/a")
        again = request(port, "/a")
        assert (again.body, again.status) == (first.body, 200)
        assert again.header("age") is not None
        assert first.header("age") is None
        assert request(port, "/a", headers={"if-none-match": '"v"'}).status == 304
        assert len(upstream.seen) == 1
        request(port, "/plain")
        request(port, "/plain")
        assert len(upstream.seen) == 3
        hits = mesh.metric("twisted_mesh_filter_cache_calls_total", result="hit")
        assert hits == 2
        request(port, "/a", "PUT", body=b"x")
        assert request(port, "/a").body != first.body
    finally:
        mesh.stop()
        upstream.stop()


def test_joined_calls(tmp_path: Path) -> None:
    go_on = threading.Event()

    def respond(seen: Seen) -> Answer:
        go_on.wait(60)
        return Answer(200, [], b"shared")

    upstream = HttpUpstream("web", respond)
    port = free_port()
    mesh = start_mesh(_config(port, upstream, {"coalesce": {}}), tmp_path)
    try:
        with ThreadPoolExecutor(10) as pool:
            answers = [pool.submit(request, port, "/a") for _ in range(10)]
            until(lambda: _calls(mesh.get("/listeners").text) == 10, "ten calls are under way")
            go_on.set()
            assert [each.result().body for each in answers] == [b"shared"] * 10
        assert len(upstream.seen) == 1
        assert mesh.metric("twisted_mesh_filter_coalesce_calls_total", result="joined") == 9
    finally:
        go_on.set()
        mesh.stop()
        upstream.stop()


def _calls(page: str) -> int:
    return int(page.splitlines()[1].split()[-1])
