"""Services in the registry, from `meshctl` and from sidecars, to calls."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, Callable

from tests.servers import Server
from tests.support import Answer, HttpUpstream, Mesh, environment, free_port, request, until
from twisted_mesh.bus.lease_scripts import PUT, REMOVE, RENEW

StartMesh = Callable[..., Mesh]
StartUpstream = Callable[..., HttpUpstream]

BASE = "mesh:{shop}:service:web"
PORT = free_port()


def meshctl(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `meshctl` for the mesh ``shop``."""
    command = [sys.executable, "-m", "twisted_mesh.cli.main", "--redis", server.url, "--mesh", "shop", *arguments]
    return subprocess.run(command, check=False, env=environment(), capture_output=True, text=True, timeout=60)


def edge(server: Server, **cluster: Any) -> dict[str, Any]:
    """The configuration of a sidecar in front of the service ``web``."""
    return {
        "mesh": "shop",
        "node": {"id": "edge"},
        "redis": server.url,
        "listeners": {"edge": {"protocol": "http", "bind": f"127.0.0.1:{PORT}", "routes": [{"to": "web"}]}},
        "clusters": {"web": {"service": "web", **cluster}},
    }


def asked() -> Answer:
    """Ask the sidecar in front of the service."""
    return request(PORT)


def registered(server: Server) -> set[str]:
    return {each.decode() for each in server("HKEYS", f"{BASE}:records")}


def test_from_register_to_calls_and_back(mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server) -> None:
    """What is registered by hand takes calls without a reload, by its labels; what is deregistered takes none."""
    v1, v2 = http_upstream("v1"), http_upstream("v2")
    sidecar = mesh(json.dumps(edge(redis_server, subset={"version": "v1"}, keep_last_good="0")))
    assert asked().status == 503
    done = meshctl(redis_server, "register", "web", v1.address, "--label", "version=v1", "--lease", "600s")
    assert done.returncode == 0, done.stderr
    assert meshctl(redis_server, "register", "web", v2.address, "--label", "version=v2").returncode == 0
    until(lambda: asked().text == "v1 /")
    assert not v2.seen
    shown = sidecar.get("/clusters?format=json").text
    assert v1.address in shown
    assert '"service": "web"' in shown
    gone = meshctl(redis_server, "deregister", "web", v1.address)
    assert gone.returncode == 0, gone.stderr
    until(lambda: asked().status == 503)


def test_an_application_is_registered_while_it_answers(
    mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server
) -> None:
    """Not before, and not after."""
    port, inbound = free_port(), free_port()
    mesh(
        json.dumps(
            {
                "mesh": "shop",
                "node": {
                    "id": "web-1",
                    "service": "web",
                    "app": f"127.0.0.1:{port}",
                    "health_check": {"http": "/healthz", "interval": "100ms", "unhealthy": 2},
                    "lease": "2s",
                },
                "redis": redis_server.url,
                "listeners": {"in": {"protocol": "http", "bind": f"127.0.0.1:{inbound}", "routes": [{"to": "app"}]}},
                "clusters": {"app": {"endpoints": [f"127.0.0.1:{port}"]}},
            }
        )
    )
    assert registered(redis_server) == set()
    app = http_upstream("app", port=port)
    until(lambda: registered(redis_server) == {"web-1"})
    app.stop()
    until(lambda: registered(redis_server) == set())
    app = http_upstream("app", port=port)
    until(lambda: registered(redis_server) == {"web-1"})
    # Redis loses everything: it is registered again by itself.
    redis_server("FLUSHALL")
    until(lambda: registered(redis_server) == {"web-1"})


def test_at_the_end_it_is_deregistered_first(
    mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server
) -> None:
    """While the news spreads calls are still answered; then it drains, and ends with 0."""
    app = http_upstream("app")
    inbound = free_port()
    behind = mesh(
        json.dumps(
            {
                "mesh": "shop",
                "node": {"id": "web-1", "service": "web", "app": app.address},
                "redis": redis_server.url,
                "drain": {"wait": "2s"},
                "listeners": {"in": {"protocol": "http", "bind": f"127.0.0.1:{inbound}", "routes": [{"to": "app"}]}},
                "clusters": {"app": {"endpoints": [app.address]}},
            }
        )
    )
    until(lambda: registered(redis_server) == {"web-1"})
    behind.process.send_signal(signal.SIGTERM)
    until(lambda: registered(redis_server) == set())
    assert request(inbound).text == "app /"
    assert behind.process.wait(15) == 0


def test_calls_go_on_while_redis_is_away(mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server) -> None:
    """Killed under traffic, and back empty: no call fails, and the endpoints are kept until they are registered again."""
    upstream = http_upstream("v1")
    sidecar = mesh(json.dumps(edge(redis_server)))
    assert meshctl(redis_server, "register", "web", upstream.address).returncode == 0
    until(lambda: asked().status == 200)
    redis_server.kill()
    for _ in range(50):
        assert asked().status == 200
    redis_server.start()
    until(lambda: "kept" in sidecar.get("/clusters?format=json").text)
    until(lambda: "endpoints are kept for 60 s" in sidecar.output())
    for _ in range(50):
        assert asked().status == 200
    other = http_upstream("v2")
    assert meshctl(redis_server, "register", "web", other.address).returncode == 0
    until(lambda: asked().text == "v2 /")


def test_instances_that_vanish_together_are_suspects_until_they_refuse(
    mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server
) -> None:
    """The heartbeats of a whole service stop, as in a partition: what still answers is used, what refuses is gone."""
    alive, dead = http_upstream("alive"), [free_port(), free_port()]
    mesh_ = mesh(json.dumps(edge(redis_server)))
    for number, port in enumerate([alive.port, *dead]):
        one = {"id": f"web-{number}", "service": "web", "address": "127.0.0.1", "ports": {"http": port}}
        record = json.dumps({**one, "lease": 2, "heartbeat": 0.5})
        redis_server("EVAL", PUT, 1, "mesh:{shop}:", "service", "web", one["id"], record, 2000, "")
    until(lambda: "leases ran out together" in mesh_.get("/clusters?format=json").text)
    for _ in range(20):
        assert asked().text == "alive /"
    until(lambda: registered(redis_server) == {"web-0"})
    assert "refused a connection and is gone" in mesh_.output()
    shown = json.loads(mesh_.get("/clusters?format=json").text)["clusters"][0]
    assert [each["instance"] for each in (each["declared"] for each in shown["endpoints"])] == ["web-0"]
    assert list(shown["registry"]["suspects"]) == ["web-0"]
    # It is heard of again.
    redis_server("EVAL", RENEW, 1, "mesh:{shop}:", "service", "web", 600_000, 1, "web-0")
    until(lambda: "leases ran out together" not in mesh_.get("/clusters?format=json").text)
    assert asked().text == "alive /"


def test_an_override_holds_until_its_end_and_over_restarts(
    mesh: StartMesh, http_upstream: StartUpstream, redis_server: Server
) -> None:
    """What an operator says at run time is shown apart from what is declared, with its author and its reason."""
    one, two = http_upstream("one"), http_upstream("two")
    for number, upstream in enumerate([one, two]):
        done = meshctl(redis_server, "register", "web", upstream.address, "--id", f"web-{number}", "--lease", "600s")
        assert done.returncode == 0, done.stderr
    override = {"scope": "service", "name": "web", "endpoint": "web-0", "kind": "drain", "ttl": 600}
    record = json.dumps({**override, "author": "ann", "reason": "a new disk"})
    redis_server("EVAL", PUT, 1, "mesh:{shop}:", "override", "all", "service/web/web-0", record, 600_000, "")
    first = mesh(json.dumps(edge(redis_server)))
    until(lambda: '"author": "ann"' in first.get("/clusters?format=json").text)
    assert {asked().text for _ in range(20)} == {"two /"}
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(15) == 0
    again = mesh(json.dumps(edge(redis_server)))
    until(lambda: '"reason": "a new disk"' in again.get("/clusters?format=json").text)
    assert {asked().text for _ in range(20)} == {"two /"}
    redis_server("EVAL", REMOVE, 1, "mesh:{shop}:", "override", "all", "service/web/web-0", "", "done")
    until(lambda: "one /" in {asked().text for _ in range(4)})
