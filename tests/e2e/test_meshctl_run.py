"""``meshctl run`` on the bus: an application is found while it can serve, and no call is lost when it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.e2e.bus import Operator
from tests.servers import Server
from tests.support import PATIENCE, HttpUpstream, Mesh, environment, free_ports, request, until

StartMesh = Callable[..., Mesh]

# Serves when it is told to; asks another service through its sidecar for each call, and once more at its end.
APP = """\
import http.server, signal, sys, threading, time, urllib.request
from pathlib import Path
port, outbound, directory = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
def ask():
    return urllib.request.urlopen(f"http://127.0.0.1:{outbound}/", timeout=10).read().decode()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/healthz":
            status, body = (200, "ok") if (directory / "well").exists() else (503, "not yet")
        else:
            (directory / "begun").touch()
            while self.path == "/slow" and not (directory / "go").exists():
                time.sleep(0.01)
            status, body = 200, "app " + ask()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
def told(*arguments):
    (directory / "told").touch()
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, told)
server.serve_forever()
(directory / "farewell").write_text(ask())
sys.exit(5)
"""


class App:
    """An application behind ``meshctl run``, registered as `web`; its sidecar has a way in and a way out."""

    def __init__(self, directory: Path, server: Server, other: HttpUpstream) -> None:
        self.directory = directory
        self.port, self.inbound, self.outbound, admin = free_ports(4)
        config: dict[str, Any] = {
            "node": {
                "id": "web-1",
                "service": "web",
                "version": "v1",
                "address": "127.0.0.1",
                "ports": {"http": self.inbound},
                "app": f"127.0.0.1:{self.port}",
                "health_check": {"http": "/healthz", "interval": "50ms"},
            },
            "admin": f"127.0.0.1:{admin}",
            "access_log": "off",
            "drain": {"wait": "200ms", "limit": "10s"},
            "listeners": {
                "in": {"protocol": "http", "bind": f"127.0.0.1:{self.inbound}", "routes": [{"to": "app"}]},
                "out": {"protocol": "http", "bind": f"127.0.0.1:{self.outbound}", "routes": [{"to": "other"}]},
            },
            "clusters": {"app": {"endpoints": [f"127.0.0.1:{self.port}"]}, "other": {"endpoints": [other.address]}},
        }
        (directory / "app.yaml").write_text(json.dumps(config))
        with (directory / "run.out").open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "twisted_mesh.cli.main", "run", "--config", "app.yaml", "--"),
                    *(sys.executable, "-c", APP, str(self.port), str(self.outbound), str(directory)),
                ],
                cwd=directory,
                env=environment(MESHCTL_REDIS=server.url),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    @property
    def output(self) -> str:
        return (self.directory / "run.out").read_text("utf-8", "replace")

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def touch(self, name: str) -> None:
        (self.directory / name).touch()

    def wait(self) -> int:
        try:
            return self.process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.output) from None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture
def app(tmp_path: Path, redis_server: Server, http_upstream: Callable[..., HttpUpstream]) -> Iterator[App]:
    one = App(tmp_path, redis_server, http_upstream("other"))
    yield one
    one.stop()


def edge(mesh: StartMesh, server: Server, directory: Path) -> int:
    """Start a sidecar in front of `web`; returns its port."""
    [port] = free_ports(1)
    listener = {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": [{"to": "web"}]}
    config = {
        "node": {"id": "edge"},
        "redis": server.url,
        "listeners": {"edge": listener},
        "clusters": {"web": {"service": "web", "keep_last_good": "0"}},
    }
    mesh(json.dumps(config), directory=directory)
    return port


def test_from_the_first_call_to_the_last(
    app: App, operator: Operator, mesh: StartMesh, redis_server: Server, tmp_path: Path
) -> None:
    """Found when it is well and not before; at the end gone first, while the calls that it has finish."""
    other = tmp_path / "edge"
    other.mkdir()
    port = edge(mesh, redis_server, other)
    until(lambda: request(app.inbound, "/healthz").text == "not yet", app.output)
    assert operator.instances("web") == []
    assert request(port).status == 503
    app.touch("well")
    until(lambda: operator.instances("web") == ["web-1"], app.output)
    until(lambda: request(port).text == "app other /")

    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(request(port, "/slow").text))
    (tmp_path / "begun").unlink()
    slow.start()
    until(lambda: app.has("begun"))
    app.process.send_signal(signal.SIGTERM)
    until(lambda: operator.instances("web") == [])
    until(lambda: "leaving" in app.output)
    # The call is in flight: the application is not told before it has ended.
    assert not app.has("told")
    app.touch("go")
    slow.join(PATIENCE)
    assert answers == ["app other /"]
    assert app.wait() == 5
    # The way out was open to the last.
    assert (tmp_path / "farewell").read_text() == "other /"


def test_no_call_fails_when_one_of_two_ends(
    app: App,
    operator: Operator,
    mesh: StartMesh,
    redis_server: Server,
    tmp_path: Path,
    http_upstream: Callable[..., HttpUpstream],
) -> None:
    other = tmp_path / "edge"
    other.mkdir()
    port = edge(mesh, redis_server, other)
    app.touch("well")
    operator.register("web", http_upstream("spare").port, id="spare")
    until(lambda: operator.instances("web") == ["spare", "web-1"], app.output)
    until(lambda: {request(port).text for _ in range(20)} == {"app other /", "spare /"})
    statuses: list[int] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            statuses.append(request(port).status)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        until(lambda: len(statuses) > 50)
        app.process.send_signal(signal.SIGTERM)
        assert app.wait() == 5
        after = len(statuses)
        until(lambda: len(statuses) > after + 50)
    finally:
        done.set()
        for each in clients:
            each.join(PATIENCE)
    assert set(statuses) == {200}


def test_an_application_that_ends_is_gone_at_once(app: App, operator: Operator) -> None:
    app.touch("well")
    until(lambda: operator.instances("web") == ["web-1"], app.output)
    children = Path(f"/proc/{app.process.pid}/task/{app.process.pid}/children").read_text().split()
    [pid] = [each for each in children if "http.server" in Path(f"/proc/{each}/cmdline").read_text()]
    subprocess.run(["kill", "-KILL", pid], check=True)
    assert app.wait() == 137
    assert operator.instances("web") == []
