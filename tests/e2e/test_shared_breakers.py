"""What breakers and outlier detection of one sidecar have others do, over a real Redis; and how a breaker finds out."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.e2e.test_upstreams import endpoints, sidecar
from tests.servers import Server
from tests.support import Answer, Mesh, Seen, free_ports, request, until

CLUSTERS = {
    "breaking": {"breaker": {"failures": 3, "least": "1m", "most": "1m", "shared": 2}},
    "ejecting": {"outlier": {"errors": 3, "base": "1m", "shared": 2}},
    "alone": {"breaker": {"failures": 3, "least": "1m", "most": "1m"}},
}


@pytest.fixture
def three(mesh: Callable[..., Mesh], redis_server: Server, tmp_path: Path) -> Callable[..., list[tuple[Mesh, int]]]:
    """``three(endpoints)`` starts sidecars n0, n1 and n2 with these clusters, below a path of their names."""

    def start(addresses: list[str]) -> list[tuple[Mesh, int]]:
        started = []
        for number, port in enumerate(free_ports(3)):
            (tmp_path / f"n{number}").mkdir()
            config = {
                "node": {"id": f"n{number}"},
                "registry": {"poll": "200ms"},
                "listeners": {
                    "edge": {
                        "bind": f"127.0.0.1:{port}",
                        "routes": [{"match": {"path": {"prefix": f"/{name}"}}, "to": name} for name in CLUSTERS],
                    }
                },
                "clusters": {
                    name: {"endpoints": addresses, "balance": "round_robin", **each} for name, each in CLUSTERS.items()
                },
            }
            running = mesh(json.dumps(config), directory=tmp_path / f"n{number}", env={"MESH_REDIS": redis_server.url})
            started.append((running, port))
        return started

    return start


def conduct(running: Mesh, cluster: str, address: str) -> dict[str, Any]:
    found: dict[str, Any] = endpoints(running, cluster)[address]["conduct"]
    return found


def learnt(running: Mesh, cluster: str, kind: str) -> float:
    return running.metric("twisted_mesh_cluster_ejections_learnt_total", cluster=cluster, kind=kind)


def test_when_two_of_three_leave_an_endpoint_out_the_third_does_too(
    three: Any, http_upstream: Any, redis_server: Server
) -> None:
    bad, good = http_upstream("bad", lambda seen: Answer(500, [], b"bad")), http_upstream("good")
    sidecars = three([bad.address, good.address])

    def spoil(number: int, path: str) -> None:
        assert [request(sidecars[number][1], path).status for _ in range(10)].count(500) == 3

    third, port = sidecars[2]
    for name in CLUSTERS:
        spoil(0, f"/{name}")
    # One of three is not enough: what the third says is what it has seen itself.
    until(lambda: sidecars[0][0].metric("twisted_mesh_bus_verdicts_total", result="sent") == 2, "both are told")
    assert conduct(third, "breaking", bad.address)["held"] == ""
    for name in CLUSTERS:
        spoil(1, f"/{name}")
    until(lambda: learnt(third, "breaking", "breaker") == learnt(third, "ejecting", "outlier") == 1, "it is learnt")
    about = conduct(third, "breaking", bad.address)
    assert about["breaker"]["state"] == "open"
    assert about["breaker"]["reason"] == "learnt from n0, n1: 3 failures in a row"
    assert conduct(third, "ejecting", bad.address)["outlier"]["ejected"] == "learnt from n0, n1: 3 errors in a row"
    seen = len(bad.seen)
    assert {request(port, f"/{name}").text.split()[0] for name in ("breaking", "ejecting") for _ in range(6)} == {
        "good"
    }
    assert len(bad.seen) == seen
    # Off unless it is said: there everyone finds out for themselves.
    spoil(2, "/alone")
    text = third.get("/clusters").text
    assert "learnt from n0, n1: 3 failures in a row" in text and "learnt from n0, n1: 3 errors in a row" in text
    # What was learnt stays when Redis goes, until its time is over.
    redis_server.kill()
    until(lambda: third.metric("twisted_mesh_bus_connected", link="commands") == 0, "Redis is away")
    assert {request(port, "/breaking").text.split()[0] for _ in range(6)} == {"good"}


def test_one_call_finds_out_however_many_come(mesh: Callable[..., Mesh], http_upstream: Any) -> None:
    gate = threading.Event()
    failing = [500, 500]

    def respond(seen: Seen) -> Answer:
        if failing:
            return Answer(failing.pop(), [], b"")
        gate.wait(20.0)
        return Answer(200, [], b"well")

    upstream = http_upstream("one", respond)
    cluster = {"endpoints": [upstream.address], "breaker": {"failures": 2, "least": "200ms", "most": "200ms"}}
    running, port = sidecar(mesh, {"api": cluster}, [{"to": "api", "retry": "off", "timeout": "20s"}])
    assert [request(port).status for _ in range(3)] == [500, 500, 503]
    until(lambda: conduct(running, "api", upstream.address)["breaker"]["state"] == "half-open", "half-open")
    with ThreadPoolExecutor(20) as clients:
        asked = [clients.submit(request, port) for _ in range(20)]
        until(lambda: sum(each.done() for each in asked) == 19, "all but one are told at once")
        assert conduct(running, "api", upstream.address)["held"].startswith("breaker half-open, is tried")
        gate.set()
        assert sorted(each.result(20.0).status for each in asked) == [200] + [503] * 19
    assert len(upstream.seen) == 3
    assert request(port).text == "well"


def test_what_the_sidecar_has_no_room_for_says_nothing_of_the_endpoint(
    mesh: Callable[..., Mesh], http_upstream: Any
) -> None:
    """Neither a full queue, nor a wait that was too long, nor a route's timeout that ran out in the queue."""
    gate = threading.Event()

    def respond(seen: Seen) -> Answer:
        if seen.path == "/slow":
            gate.wait(20.0)
        return Answer(200, [], b"well")

    upstream = http_upstream("one", respond)
    cluster = {
        "endpoints": [upstream.address],
        "pool": {"max_connections": 1, "max_pending": 4, "pending_timeout": "300ms"},
        "breaker": {"failures": 1, "least": "1m", "most": "1m"},
        "outlier": {"errors": 1, "failures": 1},
    }
    routes = [
        {"match": {"path": {"prefix": "/late"}}, "to": "api", "retry": "off", "timeout": "100ms"},
        {"to": "api", "retry": "off", "timeout": "20s"},
    ]
    running, port = sidecar(mesh, {"api": cluster}, routes)
    with ThreadPoolExecutor(12) as clients:
        slow = clients.submit(request, port, "/slow")
        until(lambda: len(upstream.seen) == 1, "it has the only connection")
        late = [clients.submit(request, port, "/late") for _ in range(3)]
        assert {each.result(20.0).status for each in late} <= {503, 504}
        more = [clients.submit(request, port, "/x") for _ in range(8)]
        assert {each.result(20.0).status for each in more} == {503}
        assert conduct(running, "api", upstream.address)["held"] == ""
        gate.set()
        assert slow.result(20.0).status == 200
    assert request(port).status == 200


def test_sharing_without_redis_is_refused(mesh: Callable[..., Mesh]) -> None:
    with pytest.raises(AssertionError, match=r"clusters\.api\.breaker\.shared: sharing needs the mesh's Redis"):
        sidecar(mesh, {"api": {"endpoints": ["127.0.0.1:1"], "breaker": {"shared": 2}}})
