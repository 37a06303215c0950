"""Servers that stand still or come and go: processes that are stopped, killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import Answer, HttpUpstream, Mesh, connect, environment, free_port, request, start_mesh, until

SERVER = """
import http.server, sys
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"process")
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


class Process:
    """A server in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)], env=environment())
        until(self._listens, f"a server at {self.port}")

    def _listens(self) -> bool:
        try:
            connect(self.port).close()
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.kill()


@pytest.fixture
def steady() -> Iterator[HttpUpstream]:
    made = HttpUpstream("steady", lambda seen: Answer(200, [], b"steady"))
    yield made
    made.stop()


def _start(directory: Path, port: int, addresses: list[str], **cluster: object) -> Mesh:
    retry = {"attempts": 3, "when": ["connect_failed", "reset", "5xx"], "per_try_timeout": "2s", "budget": "off"}
    listener = {"bind": f"127.0.0.1:{port}", "routes": [{"to": "web", "retry": retry, "timeout": "60s"}]}
    web = {"endpoints": addresses, "balance": "round_robin", **cluster}
    return start_mesh(json.dumps({"listeners": {"edge": listener}, "clusters": {"web": web}}), directory)


def _conduct(mesh: Mesh, address: str) -> dict[str, object]:
    clusters = json.loads(mesh.get("/clusters?format=json").text)["clusters"]
    return next(dict(each["conduct"]) for each in clusters[0]["endpoints"] if each["address"] == address)


def test_a_stopped_process_is_left_out_and_comes_back(process: Process, steady: HttpUpstream, tmp_path: Path) -> None:
    port = free_port()
    addresses = [process.address, f"127.0.0.1:{steady.port}"]
    mesh = _start(tmp_path, port, addresses, breaker={"failures": 2, "least": "300ms", "most": "300ms"})
    try:
        until(lambda: {request(port).text for _ in range(4)} == {"process", "steady"}, "both answer")
        # Its kernel still takes connections, and nothing ever answers.
        process.signal(signal.SIGSTOP)

        def out() -> bool:
            answer = request(port)
            assert (answer.status, answer.text) == (200, "steady")
            return bool(_conduct(mesh, process.address)["held"])

        until(out, "the breaker opens")
        assert "2 failures in a row" in str(_conduct(mesh, process.address)["held"])
        process.signal(signal.SIGCONT)
        until(lambda: {request(port).text for _ in range(4)} == {"process", "steady"}, "both answer again")
    finally:
        process.signal(signal.SIGCONT)
        mesh.stop()


def test_a_server_that_comes_and_goes_costs_no_call(process: Process, steady: HttpUpstream, tmp_path: Path) -> None:
    port = free_port()
    mesh = _start(tmp_path, port, [process.address, f"127.0.0.1:{steady.port}"])
    try:
        for _ in range(4):
            until(lambda: request(port).text == "process", "it answers")
            process.kill()
            assert [request(port).status for _ in range(10)] == [200] * 10
            process.start()
        assert mesh.metric("twisted_mesh_downstream_calls_total", code="5xx") == 0
    finally:
        mesh.stop()
