"""Health checks, retries, splits, names and reloads, against servers that come and go."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections import Counter
from typing import Any, Callable, Iterator

import pytest

from tests.support import Answer, HttpUpstream, Mesh, Seen, free_port, request, until

Start = Callable[..., Mesh]
Server = Callable[..., HttpUpstream]


def sidecar(mesh: Start, clusters: dict[str, Any], routes: Any = None) -> tuple[Mesh, int]:
    """Start a sidecar with one HTTP listener; a JSON text is a YAML text."""
    port = free_port()
    table = routes or [{"to": next(iter(clusters))}]
    config = {
        "access_log": {"path": "access.log"},
        "listeners": {"edge": {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": table}},
        "clusters": clusters,
    }
    return mesh(json.dumps(config)), port


def endpoints(running: Mesh, cluster: str = "api") -> dict[str, dict[str, Any]]:
    """What /clusters says of each endpoint."""
    shown = json.loads(running.get("/clusters?format=json").body)
    found = shown["clusters"] if isinstance(shown, dict) and "clusters" in shown else shown
    [one] = [each for each in found if each["name"] == cluster]
    return {each["address"]: each for each in one["endpoints"]}


def state(running: Mesh, address: str) -> str:
    return str(endpoints(running)[address]["state"])


class Moody:
    """An upstream whose /healthz and other answers can be changed; `statuses` are used up first."""

    def __init__(self, name: str, start: Server) -> None:
        self.name = name
        self.healthy = True
        self.statuses: list[int] = []
        self.server = start(name, self.respond)
        self.address = self.server.address

    def respond(self, seen: Seen) -> Answer:
        if seen.path == "/healthz":
            return Answer(200 if self.healthy else 503, [], b"")
        return Answer(self.statuses.pop(0) if self.statuses else 200, [], self.name.encode())

    def asked(self) -> list[str]:
        """The methods of its calls, checks left out."""
        return [each.method for each in self.server.seen if each.path != "/healthz"]


CHECK = {"http": "/healthz", "interval": "100ms"}


def test_checks_take_an_endpoint_out_and_bring_it_back(mesh: Start, http_upstream: Server) -> None:
    one, two = Moody("one", http_upstream), Moody("two", http_upstream)
    cluster = {"endpoints": [one.address, two.address], "health_check": CHECK, "balance": "round_robin"}
    running, port = sidecar(mesh, {"api": cluster})
    until(lambda: {each["state"] for each in endpoints(running).values()} == {"healthy"})
    assert {request(port).text for _ in range(4)} == {"one", "two"}
    one.healthy = False
    until(lambda: state(running, one.address) == "unhealthy")
    assert endpoints(running)[one.address]["reason"] == "GET /healthz answered 503"
    assert {request(port).text for _ in range(10)} == {"two"}
    assert running.metric("twisted_mesh_cluster_health_changes_total", cluster="api", state="unhealthy") == 1
    one.healthy = True
    until(lambda: state(running, one.address) == "healthy")
    assert {request(port).text for _ in range(4)} == {"one", "two"}
    assert f"endpoint {one.address} is unhealthy: GET /healthz answered 503, 3 times in a row" in running.output()


def test_when_most_are_down_all_are_used(mesh: Start, http_upstream: Server) -> None:
    servers = [Moody(str(at), http_upstream) for at in range(3)]
    servers[0].healthy = servers[1].healthy = False
    cluster = {"endpoints": [each.address for each in servers], "health_check": CHECK, "balance": "round_robin"}
    running, port = sidecar(mesh, {"api": cluster})
    until(lambda: "unchecked" not in {each["state"] for each in endpoints(running).values()})
    assert {request(port).text for _ in range(6)} == {"0", "1", "2"}
    assert running.metric("twisted_mesh_cluster_panic_picks_total", cluster="api") >= 6


def test_an_endpoint_that_is_down_costs_no_call(mesh: Start, http_upstream: Server) -> None:
    upstream = http_upstream("one")
    cluster = {"endpoints": [f"127.0.0.1:{free_port()}", upstream.address], "balance": "round_robin"}
    running, port = sidecar(mesh, {"api": cluster})
    assert Counter(request(port, method=each, body=b"x").status for each in ["POST", "GET"] * 25) == {200: 50}
    assert len(upstream.seen) == 50
    # It rests after each failure, so few calls need another try.
    assert 1 <= running.metric("twisted_mesh_upstream_retries_total", cluster="api") < 25
    assert running.metric("twisted_mesh_upstream_retries_exhausted_total", cluster="api") == 0


def test_when_all_are_down_the_tries_are_used_up(mesh: Start) -> None:
    running, port = sidecar(mesh, {"api": {"endpoints": [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]}})
    assert request(port).status == 503
    assert running.metric("twisted_mesh_upstream_retries_exhausted_total", cluster="api") == 1
    log = running.config.parent / "access.log"
    line = until(lambda: json.loads(log.read_text()), "an access log line")
    assert line["attempts"] == 3
    assert "URX" in line["flags"]


def test_statuses_are_tried_again_for_idempotent_methods(mesh: Start, http_upstream: Server) -> None:
    moody = Moody("one", http_upstream)
    route = {"to": "api", "retry": {"when": ["gateway_error"], "attempts": 2}}
    running, port = sidecar(mesh, {"api": {"endpoints": [moody.address]}}, [route])
    moody.statuses = [503]
    assert request(port).status == 200
    assert moody.asked() == ["GET", "GET"]
    moody.statuses = [503]
    assert request(port, method="POST", body=b"x").status == 503
    assert moody.asked()[2:] == ["POST"]
    moody.statuses = [502, 504]
    assert request(port, method="PUT", body=b"x").status == 504
    assert moody.asked()[3:] == ["PUT", "PUT"]
    assert running.metric("twisted_mesh_upstream_retries_total", cluster="api") == 2


def test_a_split_follows_its_weights(mesh: Start, http_upstream: Server) -> None:
    one, two = http_upstream("one"), http_upstream("two")
    targets = [
        {"cluster": "v1", "weight": 80},
        {"cluster": "v2", "weight": 20, "headers": {"set": {"x-version": "2"}}},
    ]
    clusters = {"v1": {"endpoints": [one.address]}, "v2": {"endpoints": [two.address]}}
    _, port = sidecar(mesh, clusters, [{"to": targets}])
    for _ in range(200):
        assert request(port).status == 200
    assert 15 <= len(two.seen) <= 75
    assert len(one.seen) + len(two.seen) == 200
    assert {each.header("x-version") for each in two.seen} == {"2"}
    assert {each.header("x-version") for each in one.seen} == {None}


def test_routes_answer_by_themselves(mesh: Start) -> None:
    routes = [
        {"match": {"path": {"prefix": "/old"}}, "redirect": {"scheme": "https", "status": 308}},
        {"match": {"host": "*.shop.example"}, "reply": {"status": 418, "body": "short and stout"}},
        {"match": {"path": "/away"}, "redirect": {"url": "https://else.example/"}},
    ]
    _, port = sidecar(mesh, {"api": {"endpoints": ["127.0.0.1:1"]}}, routes)
    moved = request(port, "/old/x?y=1", headers={"host": "shop.example:80"})
    assert (moved.status, moved.header("location")) == (308, "https://shop.example/old/x?y=1")
    fixed = request(port, headers={"host": "www.shop.example"})
    assert (fixed.status, fixed.text) == (418, "short and stout")
    assert request(port, "/away").header("location") == "https://else.example/"
    assert request(port, "/older").status == 404


def test_health_survives_a_reload(mesh: Start, http_upstream: Server) -> None:
    one, two = Moody("one", http_upstream), Moody("two", http_upstream)
    one.healthy = False
    cluster: dict[str, Any] = {"endpoints": [one.address, two.address], "health_check": CHECK}
    running, port = sidecar(mesh, {"api": cluster})
    until(lambda: state(running, one.address) == "unhealthy")
    before = endpoints(running)[one.address]
    config = json.loads(running.config.read_text())
    config["clusters"]["api"]["endpoints"][0] = {"address": one.address, "weight": 7}
    running.config.write_text(json.dumps(config))
    until(lambda: endpoints(running)[one.address]["weight"] == 7)
    after = endpoints(running)[one.address]
    assert (after["state"], after["since"]) == ("unhealthy", before["since"])
    assert {request(port).text for _ in range(10)} == {"two"}


# --- names


class _Ipv6Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"six")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def only_ipv6() -> Iterator[int]:
    """The port of an HTTP server on ::1, with nothing on 127.0.0.1."""
    try:
        server = _Ipv6Server(("::1", free_port()), _Hello)
    except OSError:
        pytest.skip("this machine has no IPv6")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_loopback_name_is_the_one_that_listens(mesh: Start, http_upstream: Server, only_ipv6: int) -> None:
    """Names below localhost are 127.0.0.1 and ::1; without retries no call goes to the one where nobody listens."""
    upstream = http_upstream("four")
    clusters = {
        "four": {"endpoints": [f"app.localhost:{upstream.port}"]},
        "six": {"endpoints": [f"app.localhost:{only_ipv6}"]},
    }
    routes = [{"match": {"path": "/six"}, "to": "six", "retry": "off"}, {"to": "four", "retry": "off"}]
    running, port = sidecar(mesh, clusters, routes)
    assert {request(port).text for _ in range(20)} == {"four /"}
    assert {request(port, "/six").text for _ in range(20)} == {"six"}
    assert list(endpoints(running, "four")) == [upstream.address]
    [shown] = endpoints(running, "six").values()
    assert (shown["address"], shown["name"]) == (f"[::1]:{only_ipv6}", f"app.localhost:{only_ipv6}")


def test_a_name_that_does_not_resolve_says_so(mesh: Start) -> None:
    running, port = sidecar(mesh, {"api": {"endpoints": ["nosuch.invalid:80"]}})
    assert request(port).status == 503
    assert "nosuch.invalid" in running.get("/clusters").text
    until(lambda: "cannot resolve nosuch.invalid:80" in running.output())
