"""Endpoints that fail on purpose: they are left out, it is said why, and they come back."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.test_upstreams import Moody, Server, Start, endpoints, sidecar
from tests.support import Answer, Seen, free_port, request, until


def test_a_breaker_opens_is_shown_and_closes_again(mesh: Start, http_upstream: Server) -> None:
    one, two = Moody("one", http_upstream), Moody("two", http_upstream)
    breaker = {"failures": 3, "least": "300ms", "most": "300ms"}
    cluster = {"endpoints": [one.address, two.address], "balance": "round_robin", "breaker": breaker}
    running, port = sidecar(mesh, {"api": cluster})
    one.statuses = [500] * 3
    assert [request(port).status for _ in range(6)].count(500) == 3
    about = endpoints(running)[one.address]["conduct"]
    assert about["breaker"]["reason"] == "3 failures in a row"
    assert ": 3 failures in a row" in running.get("/clusters").text
    until(lambda: {request(port).text for _ in range(4)} == {"one", "two"}, "both take calls")
    assert endpoints(running)[one.address]["conduct"]["breaker"]["state"] == "closed"
    assert running.metric("twisted_mesh_cluster_ejections_total", cluster="api", kind="breaker") == 1
    assert f"the breaker of {one.address} is open" in running.output()
    assert f"the breaker of {one.address} is closed: its probe went well" in running.output()


def test_with_all_breakers_open_calls_fail_at_once_and_the_flag_says_so(mesh: Start) -> None:
    cluster = {"endpoints": [f"127.0.0.1:{free_port()}"], "breaker": {"failures": 2, "least": "1m", "most": "1m"}}
    running, port = sidecar(mesh, {"api": cluster}, [{"to": "api", "retry": "off"}])
    assert [request(port).status for _ in range(4)] == [503] * 4
    assert running.metric("twisted_mesh_upstream_connect_failures_total", cluster="api") == 2
    assert running.metric("twisted_mesh_downstream_calls_total", route="edge[0]", flag="UH") == 2


def test_an_outlier_is_ejected_and_shown(mesh: Start, http_upstream: Server) -> None:
    one, two = Moody("one", http_upstream), Moody("two", http_upstream)
    cluster = {"endpoints": [one.address, two.address], "balance": "round_robin", "outlier": {"errors": 2}}
    running, port = sidecar(mesh, {"api": cluster})
    one.statuses = [503] * 2
    assert [request(port).status for _ in range(4)].count(503) == 2
    assert {request(port).text for _ in range(6)} == {"two"}
    about = endpoints(running)[one.address]["conduct"]
    assert about["outlier"]["ejected"] == "2 errors in a row"
    assert "ejected for " in running.get("/clusters").text


def test_a_cluster_takes_no_more_calls_than_it_may(mesh: Start, http_upstream: Server) -> None:
    """And each of those that it refuses is told so at once, and counted."""
    gate = threading.Event()

    def respond(seen: Seen) -> Answer:
        gate.wait(10.0)
        return Answer(200, [], b"ok")

    upstream = http_upstream("one", respond)
    cluster = {"endpoints": [upstream.address], "limits": {"calls": 2, "waiting": 1, "wait": "10s"}}
    running, port = sidecar(mesh, {"api": cluster})
    with ThreadPoolExecutor(3) as clients:
        began = [clients.submit(request, port) for _ in range(3)]
        until(lambda: running.metric("twisted_mesh_cluster_calls_waiting", cluster="api") == 1, "one that waits")
        assert request(port).status == 503
        assert "2 of 2 calls, 1 waiting" in running.get("/clusters").text
        gate.set()
        assert [each.result(10.0).status for each in began] == [200] * 3
    assert running.metric("twisted_mesh_upstream_overflows_total", cluster="api") == 1
    until(lambda: running.metric("twisted_mesh_cluster_calls_active", cluster="api") == 0)


def test_a_rate_limit_refuses_http_calls_and_says_when_to_come_back(mesh: Start, http_upstream: Server) -> None:
    upstream = http_upstream("one")
    limit = {"ratelimit": {"rate": "2/h", "key": ["header:x-team"], "headers": True}}
    running, port = sidecar(mesh, {"api": {"endpoints": [upstream.address]}}, [{"to": "api", "filters": [limit]}])
    red = [request(port, headers={"x-team": "red"}) for _ in range(3)]
    assert [each.status for each in red] == [200, 200, 429]
    assert [each.header("ratelimit-remaining") for each in red] == ["1", "0", "0"]
    assert 0 < int(red[2].header("retry-after")) <= 1800
    assert "rate_limited: over the rate limit (flag RL" in red[2].text
    assert request(port, headers={"x-team": "blue"}).status == 200
    assert len(upstream.seen) == 3
    assert running.metric("twisted_mesh_filter_ratelimit_calls_total", result="refused") == 1


def test_a_fault_delays_and_fails_calls(mesh: Start, http_upstream: Server) -> None:
    upstream = http_upstream("one")
    fault = {"fault": {"delay": {"time": "50ms"}, "abort": {"status": 599}, "header": {"x-fault": "1"}}}
    running, port = sidecar(mesh, {"api": {"endpoints": [upstream.address]}}, [{"to": "api", "filters": [fault]}])
    assert request(port).status == 200
    assert request(port, headers={"x-fault": "1"}).status == 599
    assert len(upstream.seen) == 1
    lines = until(lambda: (running.config.parent / "access.log").read_text().splitlines()[1:], "the second line")
    assert json.loads(lines[0])["flags"] == ["DI", "FI"]


def test_a_rate_limit_closes_tcp_connections(mesh: Start, http_upstream: Server) -> None:
    port = free_port()
    listener = {
        **{"protocol": "tcp", "bind": f"127.0.0.1:{port}", "routes": [{"to": "api"}]},
        "filters": [{"ratelimit": {"rate": "1/h"}}],
    }
    clusters = {"api": {"endpoints": [http_upstream("one").address]}}
    running = mesh(json.dumps({"listeners": {"db": listener}, "clusters": clusters}))
    assert request(port).status == 200
    with socket.create_connection(("127.0.0.1", port), 5.0) as refused:
        refused.settimeout(5.0)
        with contextlib.suppress(ConnectionResetError):
            assert refused.recv(1) == b""
    until(lambda: running.metric("twisted_mesh_downstream_calls_total", listener="db", flag="RL") == 1)


def test_an_endpoint_that_hangs_is_left_alone(mesh: Start, http_upstream: Server) -> None:
    """The route's timeout counts against it, for the breaker and for peak EWMA."""
    gate = threading.Event()

    def hang(seen: Seen) -> Answer:
        gate.wait(20.0)
        return Answer(200, [], b"late")

    hung, well = http_upstream("hung", hang), http_upstream("well")
    clusters = {
        name: {"endpoints": [hung.address, well.address], "balance": balance, **more}
        for name, balance, more in (
            ("breaking", "round_robin", {"breaker": {"failures": 2, "least": "1m", "most": "1m"}}),
            ("scoring", "peak_ewma", {}),
        )
    }
    routes = [{"match": {"path": {"prefix": f"/{each}"}}, "to": each, "timeout": "150ms"} for each in clusters]
    running, port = sidecar(mesh, clusters, routes)
    try:
        breaking = [request(port, "/breaking").status for _ in range(12)]
        assert sorted(breaking) == [200] * 10 + [504] * 2
        assert endpoints(running, "breaking")[hung.address]["conduct"]["breaker"]["reason"] == "2 failures in a row"
        scoring = [request(port, "/scoring").status for _ in range(20)]
        assert scoring.count(504) <= 1
    finally:
        gate.set()


def test_a_breaker_of_tcp_opens_when_connecting_fails(mesh: Start) -> None:
    port = free_port()
    listener = {"protocol": "tcp", "bind": f"127.0.0.1:{port}", "routes": [{"to": "api", "retry": "off"}]}
    cluster = {
        "endpoints": [f"127.0.0.1:{free_port()}"],
        "breaker": {"failures": 2, "least": "1m", "most": "1m"},
    }
    running = mesh(json.dumps({"listeners": {"db": listener}, "clusters": {"api": cluster}}))
    for _ in range(4):
        with contextlib.suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port), 5.0) as client:
            client.settimeout(5.0)
            assert client.recv(1) == b""
    until(lambda: running.metric("twisted_mesh_downstream_calls_total", listener="db", flag="UH") == 2)
    assert running.metric("twisted_mesh_upstream_connect_failures_total", cluster="api") == 2
