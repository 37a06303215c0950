"""`meshctl` and sidecars as processes: changes under traffic, refusals, a Redis that has lost all, overrides."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.servers import Server
from tests.support import PATIENCE, HttpUpstream, Mesh, environment, free_port, request, until

StartMesh = Callable[..., Mesh]
StartUpstream = Callable[..., HttpUpstream]


class Said:
    """What a command has said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """Somebody with a shell."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._directory = directory
        self._env = environment(MESHCTL_REDIS=server.url, MESHCTL_MESH="shop", MESHCTL_AUTHOR="ann")

    def write(self, name: str, **sections: Any) -> str:
        (self._directory / name).write_text(json.dumps(sections))
        return name

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "twisted_mesh.cli.main", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self._directory, env=self._env, stdout=pipe, stderr=pipe, text=True)

    def __call__(self, *arguments: str, status: int = 0) -> Said:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == status, f"{process.returncode}\n{out}{err}"
        return Said(subprocess.CompletedProcess([], process.returncode, out, err))


@pytest.fixture
def meshctl(redis_server: Server, tmp_path: Path) -> Operator:
    return Operator(redis_server, tmp_path)


def edge(server: Server, directory: Path, name: str, port: int, **more: Any) -> dict[str, Any]:
    """The configuration of one of several sidecars in front of `web`."""
    listener = {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": "shop"}
    return {
        "mesh": "shop",
        "node": {"id": name, "service": "edge", "registered": False},
        "redis": server.url,
        "state": str(directory / f"{name}.state"),
        "listeners": {"edge": listener},
        "routes": {"shop": [{"reply": {"body": "the file's"}}]},
        **more,
    }


@pytest.fixture
def edges(mesh: StartMesh, redis_server: Server, tmp_path: Path) -> list[int]:
    """Two sidecars; their ports."""
    ports = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ports.append(free_port())
        mesh(json.dumps(edge(redis_server, tmp_path, name, ports[-1])), directory=tmp_path / name)
    return ports


def says(port: int, text: str) -> None:
    until(lambda: request(port).text == text, text)


def test_a_change_while_calls_go_on_and_back(meshctl: Operator, edges: list[int], http_upstream: StartUpstream) -> None:
    web = {"endpoints": [http_upstream("web").address]}
    statuses: list[int] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            statuses.append(request(edges[0]).status)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        until(lambda: len(statuses) > 20)
        meshctl.write("a.yaml", routes={"shop": [{"to": "web"}]}, clusters={"web": web})
        said = meshctl("apply", "-f", "a.yaml", "--wait", "--reason", "to web")
        assert said.out.endswith("version 1: 2 resources applied; 2 sidecars acknowledged\n")
        # All that have acknowledged have it.
        assert [request(port).text for port in edges] == ["web /", "web /"]
        assert meshctl("rollback", "--wait").out.endswith("2 sidecars acknowledged\n")
        assert [request(port).text for port in edges] == ["the file's", "the file's"]
        meshctl("rollback", "--to", "1", "--wait")
        assert request(edges[1]).text == "web /"
        assert meshctl("delete", "routes/shop", "--wait").out.endswith("2 sidecars acknowledged\n")
        assert request(edges[1]).text == "the file's"
    finally:
        ended.set()
        thread.join(PATIENCE)
    assert set(statuses) == {200}


def test_a_resource_that_does_not_fit_is_refused_by_itself(meshctl: Operator, edges: list[int]) -> None:
    meshctl.write("a.yaml", routes={"shop": [{"to": "nowhere"}]}, clusters={"web": {"endpoints": ["127.0.0.1:1"]}})
    said = meshctl("apply", "-f", "a.yaml", "--wait", "--timeout", "10s", status=1)
    assert "clusters/nowhere on the bus" in said.err
    refusals = [line for line in said.err.splitlines() if "refuses routes/shop" in line]
    assert [line.split()[1] for line in refusals] == ["one", "two"]
    assert all('there is no cluster "nowhere"' in line for line in refusals)
    assert [request(port).text for port in edges] == ["the file's", "the file's"]
    status = meshctl("status", "-o", "json").json
    assert [(each["node"], each["state"], each["step"]) for each in status["sidecars"]] == [
        ("one", "nack", "in step"),
        ("two", "nack", "in step"),
    ]
    assert {nack["name"] for each in status["sidecars"] for nack in each["nacks"]} == {"routes/shop"}
    # What was put right is taken.
    meshctl.write("b.yaml", clusters={"nowhere": {"endpoints": ["127.0.0.1:1"]}})
    assert "2 sidecars acknowledged" in meshctl("apply", "-f", "b.yaml", "--wait").out
    until(lambda: "0 with a NACK" in meshctl("status").out)


def test_two_at_once(meshctl: Operator, edges: list[int]) -> None:
    """One of them writes; the other one either came later or is told of the first."""
    for name in ("a", "b"):
        meshctl.write(f"{name}.yaml", routes={"shop": [{"reply": {"body": name}}]})
    running = [meshctl.start("apply", "-f", f"{name}.yaml", "--wait") for name in ("a", "b")]
    said = [(each.communicate(timeout=60), each.returncode) for each in running]
    assert {status for _, status in said} <= {0, 1}
    assert any(status == 0 for _, status in said)
    for (_, err), status in said:
        assert status == 0 or "conflict: routes/shop was changed in version 1 by ann" in err
    newest = meshctl("history", "-o", "json").json
    assert len(newest) == sum(status == 0 for _, status in said)


def test_a_redis_that_has_lost_everything(meshctl: Operator, edges: list[int], redis_server: Server) -> None:
    meshctl.write("a.yaml", routes={"shop": [{"reply": {"body": "the bus's"}}]})
    meshctl("apply", "-f", "a.yaml", "--wait")
    redis_server.flush()
    until(lambda: "the store is behind the sidecars" in meshctl("status").out)
    assert [request(port).text for port in edges] == ["the bus's", "the bus's"]
    said = meshctl("apply", "-f", "a.yaml", status=1)
    assert "`meshctl restore` writes that back" in said.err
    assert "2 sidecars acknowledged" in meshctl("restore", "--wait").out
    assert [row["name"] for row in meshctl("get", "-o", "json").json] == ["routes/shop"]
    until(lambda: "0 not in step" in meshctl("status").out)


def test_overrides(
    meshctl: Operator, mesh: StartMesh, redis_server: Server, tmp_path: Path, http_upstream: StartUpstream
) -> None:
    port, upstreams = free_port(), [http_upstream(name) for name in ("a", "b")]
    config = edge(redis_server, tmp_path, "one", port)
    config |= {"routes": {"shop": [{"to": "web"}]}, "clusters": {"web": {"service": "web"}}}
    sidecar = mesh(json.dumps(config), directory=tmp_path)
    for upstream in upstreams:
        meshctl("register", "web", upstream.address, "--id", upstream.name, "--lease", "600s")

    def answers() -> set[str]:
        return {request(port).text for _ in range(30)}

    until(lambda: answers() == {"a /", "b /"})
    meshctl("override", "web", "a", "drain", "--ttl", "10m", "--reason", "a new disk")
    until(lambda: answers() == {"b /"})
    shown = sidecar.get("/clusters?format=json").text
    assert "a new disk" in shown
    assert meshctl("override", "-o", "json").json[0]["author"] == "ann"
    meshctl("override", "web", "a", "none")
    until(lambda: answers() == {"a /", "b /"})
    meshctl("drain", "web", "b")
    until(lambda: answers() == {"a /"})
