"""Services in the registry, from `meshctl` and from sidecars, to calls."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, Callable

from tests.servers import Server
from tests.support import Answer, HttpUpstream, Mesh, environment, free_port, request, until

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
