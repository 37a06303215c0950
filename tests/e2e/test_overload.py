"""Overload and what is done on purpose, with real processes: limits, load shed, faults, maintenance, shadows."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.e2e.test_upstreams import Moody, Server, Start, sidecar
from tests.servers import Server as Redis
from tests.support import Answer, Mesh, RawClient, Seen, TcpUpstream, environment, free_port, free_ports, request, until

OVERLOAD = "twisted_mesh_filter_overload_calls_total"


class Gate:
    """An upstream that answers when it is opened."""

    def __init__(self, start: Server, name: str = "gate") -> None:
        self._open = threading.Event()
        self.server = start(name, self._respond)
        self.address = self.server.address

    def _respond(self, seen: Seen) -> Answer:
        self._open.wait(30.0)
        return Answer(200, [], b"ok")

    def open(self) -> None:
        self._open.set()


def lines(running: Mesh, count: int) -> list[dict[str, Any]]:
    """The first lines of the access log, as soon as they are there."""

    def read() -> list[str]:
        log = running.config.parent / "access.log"
        found = log.read_text().splitlines() if log.exists() else []
        return found if len(found) >= count else []

    return [json.loads(each) for each in until(read, f"{count} lines")]


@contextlib.contextmanager
def clients(count: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool


# --- limits


def test_connections_are_limited_over_all_endpoints(mesh: Start, http_upstream: Server) -> None:
    """What one endpoint has idle makes room for another; what waits gets it."""
    one, two = Gate(http_upstream, "one"), Gate(http_upstream, "two")
    cluster = {
        "endpoints": [one.address, two.address],
        "balance": "round_robin",
        "limits": {"connections": 2},
        "pool": {"max_pending": 2, "pending_timeout": "20s"},
    }
    running, port = sidecar(mesh, {"api": cluster})

    def about() -> dict[str, Any]:
        [shown] = json.loads(running.get("/clusters?format=json").body)["clusters"]
        connections: dict[str, Any] = shown["connections"]
        return connections

    with clients(4) as pool:
        began = [pool.submit(request, port, timeout=30.0) for _ in range(4)]
        until(lambda: about() == {"open": 2, "limit": 2, "waiting": 2}, "two that wait")
        one.open()
        two.open()
        assert [each.result(30.0).status for each in began] == [200] * 4
    # Keep-alive connections of one are closed when the other is in need.
    assert [request(port).status for _ in range(8)] == [200] * 8
    assert about()["open"] <= 2


def test_connections_of_tcp_are_limited_too(mesh: Start, tcp_upstream: Any) -> None:
    upstream: TcpUpstream = tcp_upstream()
    port = free_port()
    cluster = {
        "endpoints": [f"127.0.0.1:{upstream.port}"],
        "limits": {"connections": 1},
        "pool": {"max_pending": 1, "pending_timeout": "20s"},
    }
    listener = {"protocol": "tcp", "bind": f"127.0.0.1:{port}", "routes": [{"to": "api", "retry": "off"}]}
    running = mesh(json.dumps({"listeners": {"db": listener}, "clusters": {"api": cluster}}))
    with RawClient(port) as first:
        first.send(b"hello")
        assert first.read_exactly(5) == b"hello"
        with RawClient(port) as second:
            second.send(b"later")
            until(lambda: '"waiting": 1' in running.get("/clusters?format=json").text, "one that waits")
            with contextlib.suppress(ConnectionResetError), RawClient(port) as third:
                assert third.read_to_end() == b""
            first.close()
            assert second.read_exactly(5) == b"later"
    until(lambda: running.metric("twisted_mesh_downstream_calls_total", listener="db", flag="UO") == 1)


def test_priorities_have_limits_of_their_own_and_wait_less(mesh: Start, http_upstream: Server) -> None:
    gate = Gate(http_upstream)
    limits = {"calls": 1, "waiting": 2, "wait": "20s", "priorities": {"high": {"calls": 1, "waiting": 0}}}
    routes = [
        {"match": {"path": {"prefix": f"/{each}"}}, "to": "api", "priority": each}
        for each in ("low", "default", "high")
    ]
    running, port = sidecar(mesh, {"api": {"endpoints": [gate.address], "limits": limits}}, routes)

    def waiting(count: int) -> None:
        until(lambda: running.metric("twisted_mesh_cluster_calls_waiting", cluster="api") == count, f"{count} wait")

    with clients(6) as pool:
        first = pool.submit(request, port, "/default/1", timeout=30.0)
        until(lambda: running.metric("twisted_mesh_cluster_calls_active", cluster="api") == 1)
        low = [pool.submit(request, port, "/low", timeout=30.0) for _ in range(2)]
        waiting(2)
        # High has its own, and only so many.
        high = pool.submit(request, port, "/high", timeout=30.0)
        until(lambda: running.metric("twisted_mesh_cluster_priority_calls_active", priority="high") == 1)
        assert request(port, "/high").status == 503
        # One of the two that matter less makes room.
        second = pool.submit(request, port, "/default/2", timeout=30.0)
        refused = until(lambda: [each for each in low if each.done()], "one that is refused")
        assert [each.result().status for each in refused] == [503]
        waiting(2)
        gate.open()
        assert sorted(each.result(30.0).status for each in (first, second, high, *low)) == [200] * 4 + [503]
    shown = running.get("/clusters").text
    assert "1 calls, 0 waiting" in shown


# --- filters against overload


def test_what_fails_is_refused_and_comes_back(mesh: Start, http_upstream: Server) -> None:
    one = Moody("one", http_upstream)
    route = {"to": "api", "filters": [{"admission": {"window": "1s", "most": 90}}]}
    running, port = sidecar(mesh, {"api": {"endpoints": [one.address]}}, [route])
    one.statuses = [500] * 2000
    until(lambda: [request(port).text for _ in range(20)] and running.metric(OVERLOAD, result="refused") > 20)
    refused = until(lambda: next((each for each in (request(port) for _ in range(20)) if each.status == 503), None))
    assert "(flag OM" in refused.text
    assert "calls went well" in refused.text
    one.statuses = []
    until(lambda: [request(port).status for _ in range(40)] == [200] * 40, "all is well again")


def test_calls_in_flight_are_limited_by_what_latency_says(mesh: Start, http_upstream: Server) -> None:
    """Five calls in flight at an upstream that can do one at a time: the limit goes down to the least."""
    lock = threading.Lock()

    def respond(seen: Seen) -> Answer:
        with lock:
            time.sleep(0.01)
        return Answer(200, [], b"ok")

    adaptive = {"least": 1, "samples": 5, "interval": "50ms", "every": "1h"}
    route = {"to": "api", "filters": [{"adaptive": adaptive}]}
    running, port = sidecar(mesh, {"api": {"endpoints": [http_upstream("one", respond).address]}}, [route])
    assert [request(port).status for _ in range(10)] == [200] * 10
    assert running.metric("twisted_mesh_filter_adaptive_ideal_seconds") >= 0.01
    with clients(16) as pool:

        def some(count: int) -> list[int]:
            return [each.result(30.0).status for each in [pool.submit(request, port) for _ in range(count)]]

        until(lambda: 503 in some(64), "calls that are refused")
        assert 1 <= running.metric("twisted_mesh_filter_adaptive_limit") < 64
    assert request(port).status == 200


BURN = '''
"""Keeps the loop busy, for tests of what is done about that."""

import time
from dataclasses import dataclass

from zope.interface import implementer

from twisted_mesh.interfaces import IFilterPlugin, IPlugin


@dataclass(frozen=True)
class Settings:
    seconds: float = 0.1


@implementer(IPlugin, IFilterPlugin)
class Plugin:
    name = "burn"
    settings = Settings
    protocols = ("http",)

    def build(self, settings, env):
        def burn(call, proceed):
            if "x-burn" in call.headers:
                time.sleep(settings.seconds)
            return proceed(call)

        return burn


plugin = Plugin()
'''


def test_load_is_shed_while_the_loop_is_behind(mesh: Start, http_upstream: Server, tmp_path: Path) -> None:
    place = tmp_path / "filters" / "twisted_mesh" / "filters"
    place.mkdir(parents=True)
    (place / "burn.py").write_text(BURN)
    port = free_port()
    config = {
        "listeners": {
            "edge": {
                "protocol": "http",
                "bind": f"127.0.0.1:{port}",
                "filters": [{"shed": {"lag": "150ms"}}, {"burn": {"seconds": 0.05}}],
                "routes": [
                    {"match": {"path": {"prefix": "/low"}}, "to": "api", "priority": "low"},
                    {"match": {"path": {"prefix": "/high"}}, "to": "api", "priority": "high"},
                ],
            }
        },
        "clusters": {"api": {"endpoints": [http_upstream("one").address]}},
    }
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path / "filters")])
    running = mesh(json.dumps(config), env={"PYTHONPATH": path})
    assert [request(port, each).status for each in ("/low", "/high")] == [200, 200]
    statuses: list[int] = []
    with clients(6) as pool:

        def some() -> bool:
            # Six at a time keep it busy for 0.3 s each time round.
            burning = [pool.submit(request, port, "/low", headers={"x-burn": "1"}, timeout=60.0) for _ in range(12)]
            statuses.extend(each.result(60.0).status for each in burning)
            return 503 in statuses

        until(some, "calls that are refused")
    assert running.metric("twisted_mesh_downstream_calls_total", listener="edge", flag="OM") == statuses.count(503)
    assert running.metric(OVERLOAD, result="refused") == statuses.count(503)
    until(lambda: [request(port, each).status for each in ("/low", "/high")] == [200, 200], "nothing is refused")


def test_load_is_shed_for_memory(mesh: Start, http_upstream: Server) -> None:
    """A sidecar that may have 1 MiB has too much."""
    routes = [
        {"match": {"path": "/unlimited"}, "to": "api"},
        {"to": "api", "filters": [{"shed": {"memory": "1MiB"}}]},
    ]
    running, port = sidecar(mesh, {"api": {"endpoints": [http_upstream("one").address]}}, routes)
    refused = request(port)
    assert (refused.status, "MiB in use" in refused.text) == (503, True)
    assert request(port, "/unlimited").status == 200
    assert lines(running, 2)[0]["flags"] == ["OM"]


# --- faults


def test_bandwidth_is_limited_on_purpose(mesh: Start, http_upstream: Server) -> None:
    body = os.urandom(60_000)
    slow = {"fault": {"bandwidth": {"rate": "100KB"}, "header": {"x-slow": "1"}}}
    upstream = http_upstream("one", lambda seen: Answer(200, [], body))
    running, port = sidecar(mesh, {"api": {"endpoints": [upstream.address]}}, [{"to": "api", "filters": [slow]}])
    assert request(port).body == body
    answer = request(port, headers={"x-slow": "1"})
    assert (answer.body, answer.header("content-length")) == (body, "60000")
    fast, held = lines(running, 2)
    # 5,000 of 60,000 bytes at once, and as many every 50 ms: a client cannot have had it any sooner.
    assert held["duration_ms"] >= 500
    assert held["bytes_out"] == fast["bytes_out"] == 60_000
    assert running.metric("twisted_mesh_filter_fault_calls_total", result="bandwidth") == 1


def test_requests_are_slowed_on_purpose(mesh: Start, http_upstream: Server) -> None:
    body = os.urandom(40_000)
    slow = {"fault": {"bandwidth": {"rate": "100KB", "direction": "request"}}}
    upstream = http_upstream("one", lambda seen: Answer(200, [], seen.body))
    running, port = sidecar(mesh, {"api": {"endpoints": [upstream.address]}}, [{"to": "api", "filters": [slow]}])
    assert request(port, method="POST", body=body).body == body
    assert lines(running, 1)[0]["duration_ms"] >= 300


def test_tcp_is_slowed_on_purpose(mesh: Start, tcp_upstream: Any) -> None:
    upstream: TcpUpstream = tcp_upstream()
    port = free_port()
    filters = [{"fault": {"bandwidth": {"rate": "100KB"}}}]
    listener = {"protocol": "tcp", "bind": f"127.0.0.1:{port}", "filters": filters, "routes": [{"to": "api"}]}
    clusters = {"api": {"endpoints": [f"127.0.0.1:{upstream.port}"]}}
    running = mesh(json.dumps({"listeners": {"db": listener}, "clusters": clusters}))
    data = os.urandom(50_000)
    began = time.monotonic()
    with RawClient(port) as client:
        client.send(data)
        assert client.read_exactly(50_000) == data
        assert time.monotonic() - began >= 0.4
        client.half_close()
        assert client.read_to_end() == b""
    until(lambda: running.metric("twisted_mesh_downstream_calls_total", listener="db") == 1)


# --- maintenance


def meshctl(redis: Redis, *arguments: str) -> str:
    command = [sys.executable, "-m", "twisted_mesh.cli.main", *arguments]
    done = subprocess.run(
        command, env=environment(MESHCTL_REDIS=redis.url), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_cluster_under_maintenance_is_left_alone_by_all_sidecars(
    mesh: Start, http_upstream: Server, redis_server: Redis, tmp_path: Path
) -> None:
    api, reserve = http_upstream("api"), http_upstream("reserve")
    running, ports = [], free_ports(4)
    for number in range(2):
        http, tcp = ports[2 * number : 2 * number + 2]
        config = {
            "redis": redis_server.url,
            "state": str(tmp_path / f"state-{number}"),
            "node": {"id": f"edge-{number}"},
            "access_log": {"path": "access.log"},
            "listeners": {
                "edge": {
                    "protocol": "http",
                    "bind": f"127.0.0.1:{http}",
                    "routes": [
                        {"match": {"path": "/safe"}, "to": "api", "failover": "reserve"},
                        {"to": "api"},
                    ],
                },
                "db": {"protocol": "tcp", "bind": f"127.0.0.1:{tcp}", "routes": [{"to": "api"}]},
            },
            "clusters": {
                "api": {"endpoints": [api.address], "require_ready": True},
                "reserve": {"endpoints": [reserve.address]},
            },
        }
        where = tmp_path / f"edge-{number}"
        where.mkdir()
        running.append(mesh(json.dumps(config), directory=where))
    edges = [ports[0], ports[2]]
    assert [request(each).text for each in edges] == ["api /", "api /"]
    said = meshctl(redis_server, "maintenance", "api", "on", "--reason", "a new disk", "--author", "ann")
    assert said == "cluster api: under maintenance for 3600 s, 100 % of the calls are turned away\n"
    until(lambda: [request(each).status for each in edges] == [503, 503], "all turn calls away")
    refused = request(edges[0])
    assert "cluster api: under maintenance by ann: a new disk (flag MM" in refused.text
    assert [request(each, "/safe").text for each in edges] == ["reserve /safe", "reserve /safe"]
    with contextlib.suppress(ConnectionResetError), RawClient(ports[1]) as client:
        assert client.read_to_end() == b""
    assert running[0].ready()
    assert "under maintenance by ann: a new disk" in running[0].get("/clusters").text
    assert running[0].metric("twisted_mesh_cluster_maintenance_percent", cluster="api") == 100
    meshctl(redis_server, "maintenance", "api", "on", "--percent", "50", "--author", "ann")
    until(lambda: {request(edges[0]).status for _ in range(20)} == {200, 503}, "some are turned away")
    assert "under maintenance for 50 % of the calls by ann" in running[0].get("/clusters").text
    meshctl(redis_server, "maintenance", "api", "off")
    until(lambda: {request(each).status for each in edges for _ in range(20)} == {200}, "it is over")


# --- shadows, and how long filters take


def test_what_is_only_tried_is_counted_and_logged(mesh: Start, http_upstream: Server) -> None:
    filters: list[Any] = [
        {"ratelimit": {"rate": "1/h", "mode": "shadow"}},
        {"fault": {"abort": {}, "mode": "shadow", "percent": 50}},
        {"admission": {"mode": "off"}},
    ]
    route = {"to": "api", "filters": filters}
    running, port = sidecar(mesh, {"api": {"endpoints": [http_upstream("one").address]}}, [route])
    assert [request(port).status for _ in range(200)] == [200] * 200
    decided = [each.get("extra", {}).get("shadow", {}) for each in lines(running, 200)]
    assert sum(each.get("ratelimit") == "refuse" for each in decided) == 199
    assert 60 < sum(each.get("fault") == "refuse" for each in decided) < 140
    family = "twisted_mesh_filter_decisions_total"
    assert running.metric(family, filter="ratelimit", decision="refuse") == 199
    assert running.metric(family, filter="ratelimit", decision="pass") == 1
    assert running.metric(OVERLOAD) == 0


def test_how_long_filters_take_is_known(mesh: Start, http_upstream: Server) -> None:
    filters: list[Any] = [{"fault": {"delay": {"time": "20ms"}}}, {"headers": {"request": {"set": {"x-a": "b"}}}}]
    route = {"to": "api", "filters": filters}
    running, port = sidecar(mesh, {"api": {"endpoints": [http_upstream("one").address]}}, [route])

    def timed(name: str, what: str = "count") -> float:
        return running.metric(f"twisted_mesh_filter_duration_seconds_{what}", filter=name)

    until(lambda: request(port).status == 200 and timed("fault") >= 3, "three are timed")
    assert timed("fault", "sum") >= 3 * 0.02
    for name in ("headers", "retry", "metrics", "access_log"):
        until(lambda name=name: request(port).status == 200 and timed(name) >= 1, name)  # type: ignore[misc]


@pytest.mark.parametrize("route", [{"priority": "urgent"}, {"filters": [{"shed": {"lag": 5}}]}])
def test_what_is_wrong_is_said_in_a_line(route: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "mesh.yaml"
    listener = {"protocol": "http", "bind": "127.0.0.1:1", "routes": [{"to": "api", **route}]}
    config.write_text(
        json.dumps({"listeners": {"edge": listener}, "clusters": {"api": {"endpoints": ["127.0.0.1:1"]}}})
    )
    command = [sys.executable, "-m", "twisted_mesh.cli.main", "check", str(config)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    [line] = done.stderr.splitlines() or done.stdout.splitlines()
    assert f"listeners.edge.routes[0].{next(iter(route))}" in line
    assert "expected" in line
