"""The admin over real sockets: where it answers, as what, and with what patience."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Awaitable, Callable

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.task import Clock

from tests.support import Answer, RawClient, free_port, request
from twisted_mesh.control.env import MeshEnv
from twisted_mesh.families import Families
from twisted_mesh.logfile import LogFiles
from twisted_mesh.metrics import Registry
from twisted_mesh.model import Address
from twisted_mesh.server import admin as module
from twisted_mesh.server.admin import Admin
from twisted_mesh.server.secrets import Secrets


class Process:
    def __init__(self) -> None:
        self.registry = Registry()
        self.secrets = Secrets("/no/such/mesh.yaml", {"SOME_TOKEN": "hunter2hunter2"})
        self.refused = ""
        self.drained: list[str] = []
        adapter = SimpleNamespace(active=1, connections=2)
        listener = SimpleNamespace(name="edge", config=SimpleNamespace(protocol="http"), adapter=adapter)
        self.world: Any = SimpleNamespace(version=1, config=None, clusters={}, everyone=[listener], leaving=[])

    def ready(self) -> tuple[bool, str]:
        return True, "ready"

    bus: Any = None

    def bus_state(self) -> Any:
        return self.bus

    def origins(self) -> dict[str, str]:
        return {"clusters/api": "bus, version 3", "listeners/edge": "file"}

    def drain(self, reason: str) -> None:
        self.drained.append(reason)


class Running:
    """An admin on a loop that runs, and how to ask it from a thread."""

    def __init__(self) -> None:
        self.process = Process()
        self.loop = asyncio.get_running_loop()
        registry = self.process.registry
        logs = LogFiles(Clock(), lambda: 0.0, Families(registry))
        env = MeshEnv(
            AsyncioSelectorReactor(self.loop),
            now=self.loop.time,
            wall=lambda: 0.0,
            random=random.Random(1),
            metrics=registry,
            logs=logs,
            loop=self.loop,
        )
        self.admin = Admin(self.process, env, self.loop)

    async def ask(self, where: str, path: str, **more: Any) -> Answer:
        return await self.thread(lambda: request(where, path, **more))

    async def thread(self, work: Callable[[], Any]) -> Any:
        return await self.loop.run_in_executor(None, work)


def run(test: Callable[[Running], Awaitable[None]]) -> None:
    async def whole() -> None:
        running = Running()
        running.admin.startService()
        try:
            await test(running)
        finally:
            running.admin.stopService()

    asyncio.run(whole())


def test_it_answers_at_its_address_and_counts_nothing_of_itself() -> None:
    async def test(running: Running) -> None:
        running.admin.serve_at(Address("127.0.0.1", 0))
        where = running.admin.address
        assert (await running.ask(where, "/ready")).status == 200
        answer = await running.ask(where, "/metrics")
        assert answer.status == 200
        assert 'twisted_mesh_downstream_connections_active{protocol="http",listener="edge"} 2\n' in answer.text
        assert 'twisted_mesh_downstream_calls_active{protocol="http",listener="edge"} 1\n' in answer.text
        assert 'listener="admin"' not in answer.text
        assert "python_info" in answer.text
        assert (await running.ask(where, "/clusters")).text == "no clusters\n"

    run(test)


def test_a_unix_socket_is_for_its_owner_and_group_and_goes_with_the_admin(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    async def test(running: Running) -> None:
        running.admin.serve_at(Address("", 0, str(path)))
        assert os.stat(path).st_mode & 0o777 == module.MODE
        assert (await running.ask(f"unix:{path}", "/live")).status == 200
        answer = await running.ask(f"unix:{path}", "/drain", method="POST")
        assert answer.status == 202
        assert running.process.drained == ["asked by the admin"]

    run(test)
    assert not path.exists()


def test_a_web_page_drains_nothing() -> None:
    async def test(running: Running) -> None:
        running.admin.serve_at(Address("127.0.0.1", 0))
        where = running.admin.address
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:9901"}):
            assert (await running.ask(where, "/drain", method="POST", headers=headers)).status == 403
        assert (await running.ask(where, "/drain")).status == 405
        assert running.process.drained == []

    run(test)


def test_it_moves_and_stays_where_it_was_if_it_cannot() -> None:
    async def test(running: Running) -> None:
        admin = running.admin
        assert admin.address == ""
        admin.serve_at(Address("127.0.0.1", free_port()))
        first = admin.address
        admin.serve_at(Address("127.0.0.1", int(first.rpartition(":")[2])))
        assert admin.address == first
        assert (await running.ask(first, "/live")).status == 200
        with pytest.raises(OSError, match="this machine has no such address"):
            admin.serve_at(Address("192.0.2.1", 80))
        assert (await running.ask(first, "/live")).status == 200
        admin.serve_at(Address("127.0.0.1", 0))
        assert admin.address != first
        assert (await running.ask(admin.address, "/live")).status == 200
        with pytest.raises(ConnectionRefusedError):
            await running.ask(first, "/live")
        admin.serve_at(None)
        assert repr(admin) == "<Admin at no address>"

    run(test)


def test_one_connection_asks_many_times_also_for_the_head_alone() -> None:
    async def test(running: Running) -> None:
        running.admin.serve_at(Address("127.0.0.1", 0))
        where = running.admin.address

        def talk() -> list[tuple[int, bytes]]:
            with RawClient(int(where.rpartition(":")[2])) as client:
                found = []
                for method, path in (("GET", "/live"), ("HEAD", "/metrics"), ("GET", "/nothing"), ("GET", "/ready")):
                    client.send(f"{method} {path} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
                    answer = client.read_answer(head_only=method == "HEAD")
                    found.append((answer.status, answer.body[:5]))
                return found

        assert await running.thread(talk) == [(200, b"live\n"), (200, b""), (404, b"there"), (200, b"ready")]

    run(test)


def test_too_many_connections_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 1)

    async def test(running: Running) -> None:
        running.admin.serve_at(Address("127.0.0.1", 0))
        port = int(running.admin.address.rpartition(":")[2])

        def talk() -> bytes:
            with RawClient(port) as first:
                first.send(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert first.read_answer().status == 200
                with RawClient(port) as second:
                    return second.read_to_end()

        assert await running.thread(talk) == b""

    run(test)
