"""Endpoints that fail on purpose: they are left out, it is said why, and they come back."""

from __future__ import annotations

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
