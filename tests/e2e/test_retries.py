"""Retries against servers that fail on purpose: how much load they add, when they come, where they go, and hedging."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from tests.support import Answer, HttpUpstream, RawClient, Seen, TcpUpstream, free_port, request, start_mesh, until

LONG = "60s"


class Failing:
    """An upstream that answers by a list, and then well; `after` is the Retry-After of what is not well."""

    def __init__(self, name: str = "api", share: int = 0, after: str = "") -> None:
        self.statuses: list[int] = []
        self.after = after
        self._share = share
        self._lock = threading.Lock()
        self.server = HttpUpstream(name, self.respond)
        self.address = self.server.address

    def respond(self, seen: Seen) -> Answer:
        with self._lock:
            bad = bool(self._share) and len(self.server.seen) % self._share == 0
            status = self.statuses.pop(0) if self.statuses else 503 if bad else 200
        headers = [("retry-after", self.after)] if status >= 400 and self.after else []
        return Answer(status, headers, self.server.name.encode())

    @property
    def asked(self) -> int:
        return len(self.server.seen)


@pytest.fixture
def servers() -> Iterator[Any]:
    made: list[Any] = []

    def start(*args: Any, **options: Any) -> Failing:
        made.append(Failing(*args, **options))
        return made[-1]

    yield start
    for each in made:
        each.server.stop()


def ask_often(port: int, times: int, **more: Any) -> Counter[int]:
    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(lambda _: request(port, **more).status, range(times)))


@pytest.mark.parametrize(("budget", "most"), [(None, 1.2), ("off", 3.0)])
def test_an_upstream_that_fails_sees_no_storm(new_edge: Any, servers: Any, budget: Optional[str], most: float) -> None:
    """Every answer is a failure, so each call would be sent three times; the budget is there unless it is off."""
    api = servers(share=1)
    retry = {"attempts": 3, "when": ["5xx"], "backoff": {"base": "1ms", "max": "1ms"}}
    running = new_edge({"api": [api.address]}, [{"to": "api", "retry": retry | ({"budget": budget} if budget else {})}])
    assert ask_often(running.port, 200) == {503: 200}
    if budget is None:
        assert 200 * 1.1 < api.asked <= 200 * most + 3
        assert running.mesh.metric("twisted_mesh_upstream_retries_refused_total", cluster="api") > 100
    else:
        assert api.asked == 200 * most


def test_a_retry_waits_as_long_as_it_is_asked_to(new_edge: Any, servers: Any) -> None:
    """Longer than the back-off: what asks for more than the limit, or than the call has, is not tried again."""
    api = servers(after="1")
    retry = {"when": [429, 503], "backoff": {"base": "1ms", "max": "1ms", "retry_after": "3s"}}
    running = new_edge({"api": [api.address]}, [{"to": "api", "timeout": "5s", "retry": retry}])
    api.statuses = [503, 429]
    assert request(running.port, "/waits").status == 200
    line = running.line("/waits")
    assert line["attempts"] == 3
    assert line["duration_ms"] >= 2000, "a second before each retry"
    api.after, api.statuses = "4", [503]
    assert request(running.port).status == 503
    assert api.asked == 4
    api.after, api.statuses = "3", [503]
    assert request(running.port, headers={"x-mesh-timeout": "2s"}).status == 503
    assert api.asked == 5


def test_what_was_tried_is_avoided(new_edge: Any, servers: Any) -> None:
    """Two of three fail always; no call fails, and none meets the same endpoint twice."""
    apis = [servers("bad", share=1), servers("worse", share=1), servers("good")]
    retry = {"when": ["5xx"], "attempts": 3, "budget": "off", "backoff": {"base": "1ms", "max": "1ms"}}
    cluster = {"endpoints": [each.address for each in apis], "balance": "random"}
    running = new_edge({"api": cluster}, [{"to": "api", "retry": retry}])
    assert ask_often(running.port, 60) == {200: 60}
    for each in apis[:2]:
        ids = Counter(seen.header("x-request-id") for seen in each.server.seen)
        assert ids and set(ids.values()) == {1}


def test_a_cluster_bounds_the_retries_under_way(new_edge: Any, servers: Any) -> None:
    api = servers(share=1, after="60")
    retry = {"when": ["5xx"], "attempts": 2, "budget": "off"}
    cluster = {"endpoints": [api.address], "limits": {"retries": 2}}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": "off", "retry": retry}])
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(request, running.port, headers={"x-mesh-timeout": "300s"}) for _ in range(6)]
        until(lambda: sum(each.done() for each in waiting) == 4, "all but two have their answer")
        metric = running.mesh.metric
        assert metric("twisted_mesh_cluster_retries_active", cluster="api") == 2
        assert metric("twisted_mesh_upstream_retries_refused_total", cluster="api") == 4
        running.mesh.stop()


def test_a_hedge_wins_over_what_hangs_and_leaves_nothing(new_edge: Any, servers: Any) -> None:
    hanging, good = servers("hanging"), servers("good")
    hanging.server.hold.clear()
    routes = [
        {"match": {"method": "GET"}, "to": "api", "timeout": LONG, "retry": {"hedge": "50ms", "budget": "off"}},
        {"to": "api", "timeout": "1s", "retry": {"hedge": "50ms"}},
    ]
    cluster = {"endpoints": [hanging.address, good.address], "balance": "round_robin"}
    running = new_edge({"api": cluster}, routes)
    assert {request(running.port).text for _ in range(6)} == {"good"}
    metric = running.mesh.metric
    won = metric("twisted_mesh_upstream_hedges_total", cluster="api", result="won")
    assert won == hanging.asked >= 3
    # What may not be done twice is not: it waits for its own.
    statuses = {request(running.port, method="POST", body=b"x").status for _ in range(2)}
    assert statuses == {200, 504}
    until(lambda: metric("twisted_mesh_upstream_connections", cluster="api", state="active") == 0)
    assert running.mesh.get("/clusters?format=json").text.count('"active": 0') == 2


def test_by_percentile_only_the_slow_tail_has_another_beside_it(new_edge: Any, servers: Any) -> None:
    first, second = servers("first"), servers("second")
    retry = {"hedge": {"percentile": 90, "after": "20ms"}, "budget": "off"}
    cluster = {"endpoints": [first.address, second.address], "balance": "round_robin"}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": LONG, "retry": retry}])
    assert ask_often(running.port, 150) == {200: 150}
    first.server.hold.clear()
    try:
        assert {request(running.port).text for _ in range(4)} == {"second"}
    finally:
        first.server.hold.set()
    assert running.mesh.metric("twisted_mesh_upstream_hedges_total", cluster="api", result="won") >= 1


def test_connections_of_tcp_are_tried_again_and_hedged(tmp_path: Path) -> None:
    """A port that refuses, one whose backlog is full, and one that echoes."""
    echo = TcpUpstream()
    ports = [free_port(), free_port()]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        full = f"127.0.0.1:{listening.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(8)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        clusters = {
            "refusing": {"endpoints": [f"127.0.0.1:{free_port()}", echo.address], "balance": "round_robin"},
            "full": {"endpoints": [full, echo.address], "balance": "round_robin", "connect_timeout": LONG},
        }
        listeners = {
            "a": {"protocol": "tcp", "bind": f"127.0.0.1:{ports[0]}", "routes": [{"to": "refusing"}]},
            "b": {
                "protocol": "tcp",
                "bind": f"127.0.0.1:{ports[1]}",
                "routes": [{"to": "full", "timeout": LONG, "retry": {"hedge": "50ms"}}],
            },
        }
        mesh = start_mesh(json.dumps({"listeners": listeners, "clusters": clusters}), tmp_path)
        try:
            for port in ports:
                for _ in range(2):
                    with RawClient(port) as client:
                        client.send(b"hello")
                        assert client.read_exactly(5) == b"hello"
            assert mesh.metric("twisted_mesh_upstream_hedges_total", cluster="full", result="won") >= 1
            until(lambda: mesh.metric("twisted_mesh_downstream_calls_active", listener="b") == 0)
        finally:
            mesh.stop()
            for each in fillers:
                each.close()
            echo.stop()
