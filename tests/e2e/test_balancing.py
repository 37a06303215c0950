"""Zones, sessions, subsets and slow starts, with real sidecars and servers that come and go."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.e2e.test_upstreams import CHECK, Moody, Server, Start, endpoints, sidecar, state
from tests.support import Mesh, request, until


def about(running: Mesh) -> Any:
    """What /clusters says of the cluster."""
    shown = json.loads(running.get("/clusters?format=json").body)
    [one] = shown["clusters"] if isinstance(shown, dict) and "clusters" in shown else shown
    return one


def checked(running: Mesh) -> None:
    """Wait until every endpoint was found healthy."""
    until(lambda: {each["state"] for each in endpoints(running).values()} == {"healthy"})


def configure(running: Mesh, **changed: Any) -> None:
    """Change the configuration, and have the sidecar read it again."""
    config = json.loads(running.config.read_text())
    running.config.write_text(json.dumps({**config, **changed}))
    running.process.send_signal(signal.SIGHUP)


def test_calls_stay_in_the_zone_of_the_sidecar(mesh: Start, http_upstream: Server) -> None:
    near, far = Moody("near", http_upstream), Moody("far", http_upstream)
    cluster = {
        "endpoints": [{"address": near.address, "zone": "a"}, {"address": far.address, "zone": "b"}],
        "health_check": CHECK,
        "locality": {},
    }
    running, port = sidecar(mesh, {"api": cluster})
    checked(running)
    assert {request(port).text for _ in range(20)} == {"near", "far"}, "it has no zone"
    configure(running, node={"zone": "a"})
    until(lambda: about(running)["zones"] == {"a": 1.0, "others": 0.0}, "it is in zone a")
    assert {request(port).text for _ in range(20)} == {"near"}
    near.healthy = False
    until(lambda: state(running, near.address) == "unhealthy")
    assert {request(port).text for _ in range(20)} == {"far"}
    assert running.metric("twisted_mesh_cluster_panic_picks_total", cluster="api") == 0
    near.healthy = True
    until(lambda: state(running, near.address) == "healthy")
    assert {request(port).text for _ in range(20)} == {"near"}


def test_a_session_stays_moves_and_is_told(mesh: Start, http_upstream: Server) -> None:
    servers = [Moody(str(each), http_upstream) for each in range(3)]
    cluster = {
        "endpoints": [each.address for each in servers],
        "health_check": CHECK,
        "affinity": {"cookie": {"name": "at", "ttl": "1h"}},
        "panic_threshold": 0,
    }
    running, port = sidecar(mesh, {"api": cluster})
    checked(running)
    first = request(port)
    cookie = first.header("set-cookie") or ""
    assert cookie.startswith("at=") and cookie.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600")
    brought = {"cookie": cookie.partition(";")[0]}
    again = [request(port, headers=brought) for _ in range(20)]
    assert {each.text for each in again} == {first.text}
    assert {each.header("set-cookie") for each in again} == {None}
    other, other_port = sidecar(mesh, {"api": cluster})
    checked(other)
    assert {request(other_port, headers=brought).text for _ in range(10)} == {first.text}, "another sidecar knows it"
    home = servers[int(first.text)]
    home.healthy = False
    until(lambda: state(running, home.address) == "unhealthy")
    moved = request(port, headers=brought)
    assert moved.status == 200 and moved.text != first.text
    moved_to = {"cookie": (moved.header("set-cookie") or "").partition(";")[0]}
    assert {request(port, headers=moved_to).text for _ in range(10)} == {moved.text}


def test_a_subset_of_the_endpoints(mesh: Start, http_upstream: Server) -> None:
    servers = [http_upstream(each) for each in ("old", "new")]
    listed = [
        {"address": each.address, "labels": {"version": version}}
        for each, version in zip(servers, ("v1", "v2"), strict=True)
    ]
    clusters = {"v2": {"endpoints": listed, "subset": {"version": "v2"}}, "all": {"endpoints": listed}}
    routes = [{"match": {"header": {"x-version": "v2"}}, "to": "v2"}, {"to": "all"}]
    _, port = sidecar(mesh, clusters, routes)
    assert {request(port, headers={"x-version": "v2"}).text for _ in range(10)} == {"new /"}
    assert {request(port).text for _ in range(30)} == {"old /", "new /"}


def test_an_endpoint_that_is_well_again_warms_up(mesh: Start, http_upstream: Server) -> None:
    one, two = Moody("one", http_upstream), Moody("two", http_upstream)
    cluster = {
        "endpoints": [one.address, two.address],
        "health_check": CHECK,
        "balance": "round_robin",
        "slow_start": "1h",
        "panic_threshold": 0,
    }
    running, port = sidecar(mesh, {"api": cluster})
    checked(running)
    assert {request(port).text for _ in range(4)} == {"one", "two"}
    assert about(running)["warming"] == {}
    one.healthy = False
    until(lambda: state(running, one.address) == "unhealthy")
    one.healthy = True
    until(lambda: state(running, one.address) == "healthy")
    assert about(running)["warming"] == {one.address: 10.0}
    assert [request(port).text for _ in range(44)].count("one") <= 8
