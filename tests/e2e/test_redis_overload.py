"""Overload, faults and maintenance at a Redis listener, with real servers."""

from __future__ import annotations

import json
import threading
from typing import Any, Optional

import pytest

from tests.e2e.test_overload import OVERLOAD, lines, meshctl
from tests.e2e.test_upstreams import Start
from tests.servers import Conversation, Refused, Server
from tests.support import Mesh, RawClient, free_port, until


def cache(
    mesh: Start, server: Server, *filters: Any, limits: Optional[dict[str, Any]] = None, **more: Any
) -> tuple[Mesh, int]:
    """Start a sidecar in front of one server; keys that begin with ``low:`` are of low priority."""
    port = free_port()
    low = {"match": {"key": {"prefix": "low:"}}, "to": "main", "priority": "low"}
    cluster: dict[str, Any] = {"endpoints": [server.url.removeprefix("redis://").partition("/")[0]]}
    config = {
        "access_log": {"path": "access.log", "calls": "all"},
        "listeners": {
            "cache": {
                "protocol": "redis",
                "bind": f"127.0.0.1:{port}",
                "filters": list(filters),
                "routes": [low, {"to": "main"}],
            }
        },
        "clusters": {"main": cluster if limits is None else {**cluster, "limits": limits}},
        **more,
    }
    return mesh(json.dumps(config)), port


def test_faults_by_command(mesh: Start, redis_server: Server) -> None:
    running, port = cache(
        mesh,
        redis_server,
        {"fault": {"abort": {}, "method": ["set"]}},
        {"fault": {"delay": {"time": "50ms"}, "method": ["incr"]}},
    )
    with Conversation(port) as client:
        assert client("GET", "a") is None
        with pytest.raises(Refused, match=r"^ERR Fault Injected: Error$"):
            client("SET", "a", "1")
        assert client("INCR", "n") == 1
        assert client("GET", "a") is None
    counted = "twisted_mesh_filter_fault_calls_total"
    assert [running.metric(counted, result=each) for each in ("abort", "delay")] == [1, 1]


def test_pipelined_commands_go_each_by_its_own_route(mesh: Start, redis_server: Server) -> None:
    """Also those that came in one read and are alike but for the route."""
    running, port = cache(mesh, redis_server)
    log = running.config.parent / "access.log"
    with RawClient(port) as client:
        client.send(b"SET low:a 1\r\nSET b 2\r\nSET c 3\r\nGET b\r\nGET low:a\r\n")
        assert client.read_exactly(29) == b"+OK\r\n+OK\r\n+OK\r\n$1\r\n2\r\n$1\r\n1\r\n"
    until(lambda: len(log.read_text().splitlines()) == 4, "four lines")
    lines = [json.loads(each) for each in log.read_text().splitlines()]
    seen = sorted((each["method"], each["path"], each["route"], each.get("count", 1)) for each in lines)
    assert seen == [
        ("GET", "b", "cache[1]", 1),
        ("GET", "low:a", "cache[0]", 1),
        ("SET", "b", "cache[1]", 2),
        ("SET", "low:a", "cache[0]", 1),
    ]


def test_priorities_have_limits_of_their_own(mesh: Start, redis_server: Server) -> None:
    limits = {"calls": 1, "waiting": 0, "priorities": {"low": {"calls": 1}}}
    running, port = cache(mesh, redis_server, limits=limits)
    with Conversation(port) as waiting, Conversation(port) as other:
        waits = threading.Thread(target=waiting, args=("BLPOP", "queue", "30"))
        waits.start()
        until(lambda: running.metric("twisted_mesh_cluster_calls_active", cluster="main") == 1)
        with pytest.raises(Refused, match="MESHLIMIT too much is in flight"):
            other("GET", "a")
        assert other("GET", "low:a") is None
        redis_server("RPUSH", "queue", "go on")
        waits.join(30.0)
        assert not waits.is_alive()
        until(lambda: running.metric("twisted_mesh_cluster_calls_active", cluster="main") == 0)
        assert other("GET", "a") is None


def test_connections_are_limited_with_those_of_sessions(mesh: Start, redis_server: Server) -> None:
    """Two in all: what all clients share, and one for whoever waits; the next one has none."""
    running, port = cache(mesh, redis_server, limits={"connections": 2, "priorities": {"low": {"connections": 1}}})
    with Conversation(port) as one, Conversation(port) as two:
        assert one("GET", "a") is None
        waits = threading.Thread(target=one, args=("BLPOP", "queue", "30"))
        waits.start()
        until(lambda: "2 of 2 connections" in running.get("/clusters").text)
        with pytest.raises(Refused, match="MESHLIMIT too much is in flight"):
            two("BLPOP", "queue", "30")
        assert two("GET", "a") is None
        redis_server("RPUSH", "queue", "go on")
        waits.join(30.0)
        assert not waits.is_alive()
        redis_server("RPUSH", "queue", "go on")
        # The idle one of the first serves the second.
        until(lambda: two("BLPOP", "queue", "30") == [b"queue", b"go on"], "its turn")
        assert "2 of 2 connections" in running.get("/clusters").text
        # Low has one of its own.
        redis_server("RPUSH", "low:queue", "go on")
        assert one("BLPOP", "low:queue", "30") == [b"low:queue", b"go on"]
        assert "1 of 1 connections for priority low" in running.get("/clusters").text
    assert running.metric("twisted_mesh_cluster_priority_connections", cluster="main", priority="low") == 1


def test_commands_that_would_fail_are_not_sent_and_shadows_see_them_all(mesh: Start, redis_server: Server) -> None:
    tried = {"ratelimit": {"rate": "1/h", "mode": "shadow"}}
    running, port = cache(mesh, redis_server, {"adaptive": {"samples": 5}}, {"admission": {"window": "2s"}}, tried)
    with Conversation(port) as client:
        assert [client("SET", "a", "1") for _ in range(20)] == [b"OK"] * 20
        redis_server.kill()

        def refused() -> bool:
            with pytest.raises(Refused) as raised:
                client("SET", "a", "1")
            return str(raised.value).startswith("MESHLIMIT overloaded: only ")

        until(refused, "a command that is not sent")
    assert running.metric(OVERLOAD, filter="listeners/cache/admission", result="refused") >= 1
    assert running.metric("twisted_mesh_filter_decisions_total", filter="ratelimit", decision="refuse") >= 19
    assert lines(running, 20)[19]["extra"] == {"shadow": {"ratelimit": "refuse"}}


def test_load_is_shed(mesh: Start, redis_server: Server) -> None:
    _, port = cache(mesh, redis_server, {"shed": {"memory": "1MiB"}})
    with Conversation(port) as client, pytest.raises(Refused, match="MESHLIMIT overloaded: the sidecar sheds load"):
        client("GET", "a")


def test_maintenance(mesh: Start, redis_servers: Any) -> None:
    server, bus = redis_servers(), redis_servers()
    running, port = cache(mesh, server, redis=bus.url, state="off")
    with Conversation(port) as client:
        assert client("GET", "a") is None
        meshctl(bus, "maintenance", "main", "on", "--author", "ann")

        def turned_away() -> str:
            try:
                client("GET", "a")
            except Refused as error:
                return str(error)
            return ""

        assert until(turned_away) == "MESHNOHOST under maintenance: cluster main: under maintenance by ann"
        meshctl(bus, "maintenance", "main", "off")
        until(lambda: not turned_away(), "it is over")
    assert running.metric("twisted_mesh_cluster_maintenance_refused_total", cluster="main") >= 1
