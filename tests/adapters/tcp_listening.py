"""A TCP adapter with one server behind it, on a running loop, with time by a Clock."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Awaitable, Callable

import pytest

from tests.net.support import tcp_pair, until
from twisted_mesh.adapters import tcp as module
from twisted_mesh.adapters.tcp import TcpAdapter
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind
from twisted_mesh.model import TcpOptions
from twisted_mesh.net import relay as relays
from twisted_mesh.net.accept import Accepted
from twisted_mesh.net.side import Side
from twisted_mesh.testing import Env

Then = Callable[["Listening", Call], Awaitable[Any]]


async def straight(self: Listening, call: Call) -> Reply:
    """Go to the server at once."""
    call.timeout = 15.0
    return self.reply()


class Listening:
    """A TCP adapter with one server behind it; `calls` have ended."""

    def __init__(self, then: Then = straight, **options: Any) -> None:
        self.env = Env()
        self.adapter = TcpAdapter("db", TcpOptions.model_validate(options), self.env)
        self.then = then
        self.adapter.chain = self.chain
        self.servers: list[socket.socket] = []
        self.calls: list[Call] = []
        self.cleaned: list[str] = []

    async def chain(self, call: Call) -> Reply:
        """What the adapter runs."""
        call.on_complete(self.calls.append)
        result: Reply = await self.then(self, call)
        return result

    def reply(self) -> Reply:
        """A connection to a new server."""
        ours, theirs = tcp_pair()
        self.servers.append(theirs)
        side = Side(asyncio.get_running_loop(), ours, Kind.RESET, "the server")
        return Reply(tunnel=side, body=side.body())

    def connect(self) -> socket.socket:
        """A new client."""
        client, ours = tcp_pair()
        self.adapter.accepted(Accepted(asyncio.get_running_loop(), ours, client.getsockname()))
        return client

    async def end(self, *socks: socket.socket) -> Call:
        """Close everything; returns the one call, which has ended once."""
        await until(lambda: self.calls)
        for each in [*socks, *self.servers]:
            each.close()
        await until(lambda: not self.adapter.open)
        assert len(self.calls) == 1
        assert self.env.count("twisted_mesh_downstream_connections_total", "tcp", "db") == 1
        assert self.env.count("twisted_mesh_downstream_connections_active", "tcp", "db") == 0
        assert len(self.adapter.calls) == 0
        self.adapter.drain()
        assert self.adapter._relay is None
        # No timer is left once the sweeps have looked.
        self.env.advance(1.0)
        self.env.advance(1.0)
        assert self.env.time.getDelayedCalls() == []
        return self.calls[0]


@pytest.fixture(params=["kernel", "copying"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to move bytes: the kernel's where there is one, and copying."""
    if request.param == "copying":
        monkeypatch.setattr(module, "AVAILABLE", False)
    elif not relays.AVAILABLE:
        pytest.skip("the relay needs epoll")
    return str(request.param)
