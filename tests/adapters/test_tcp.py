"""The TCP adapter: connections to calls, on both loops, with time by a Clock."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tests.adapters.tcp_listening import Listening, way
from tests.net.conftest import Run, authority, raised, run
from tests.net.support import read, read_to_end, reset, tcp_pair, turns, until
from tests.net.tls_support import Peer, client_side
from tests.tls_front import Authority
from twisted_mesh.adapters import tcp as module
from twisted_mesh.adapters.tcp import TcpAdapter
from twisted_mesh.adapters.tcp_connection import TcpConnection
from twisted_mesh.call import Call, Reply
from twisted_mesh.model import ListenerTls, TcpOptions
from twisted_mesh.net.accept import Accepted
from twisted_mesh.net.certificates import serve
from twisted_mesh.net.handshakes import Handshakes
from twisted_mesh.testing import Env

__all__ = ["authority", "raised", "run", "way"]


def test_ids_differ(run: Run) -> None:
    """Every call has an id of its own."""
    made = TcpAdapter("db", TcpOptions(), Env())
    assert made.new_id() != made.new_id()


def test_configure(run: Run) -> None:
    """A reload's options hold for connections that are open."""

    async def go() -> None:
        one = Listening()
        client = one.connect()
        await until(lambda: one.servers)
        await turns()
        one.adapter.configure(TcpOptions.model_validate({"idle_timeout": "1s"}))
        one.env.advance(2.0)
        assert await read_to_end(client) == b""
        await one.end(client)

    run(go())


def test_drain(run: Run, way: str) -> None:
    """What is established goes on while draining, and also what still comes from the backlog; then all is cut."""

    async def go() -> None:
        one = Listening()
        first = one.connect()
        await until(lambda: one.servers)
        one.adapter.drain()
        assert "draining" in repr(one.adapter)
        second = one.connect()
        for client in (first, second):
            client.send(b"on")
        for number in (0, 1):
            assert await read(one.servers[number], 2) == b"on"
        one.adapter.close_all()
        for each in (first, second, *one.servers):
            with pytest.raises(ConnectionResetError):
                await read_to_end(each)
            each.close()
        await until(lambda: len(one.calls) == 2)
        await until(lambda: not one.adapter.open)
        assert [each.flags for each in one.calls] == [("LR",), ("LR",)]
        one.adapter.close_all()
        assert len(one.calls) == 2 and one.adapter._relay is None

    run(go())


def test_completions_that_raise(run: Run) -> None:
    """They are logged, and keep nothing from ending."""

    def fail(call: Call) -> None:
        raise ZeroDivisionError("oops")

    async def failing(self: Listening, call: Call) -> Reply:
        call.on_complete(fail)
        return self.reply()

    async def go() -> None:
        one = Listening(failing)
        client = one.connect()
        await until(lambda: one.servers)
        reset(client)
        await one.end()
        assert any("failed" in each for each in one.env.logged)

    run(go())


def test_before_there_is_a_chain(run: Run) -> None:
    """A connection that comes too early is refused, not lost."""

    async def go() -> None:
        env = Env()
        adapter = TcpAdapter("db", TcpOptions(), env)
        client, ours = tcp_pair()
        adapter.accepted(Accepted(asyncio.get_running_loop(), ours, client.getsockname()))
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        assert adapter.connections == 0
        adapter.close_all()
        client.close()

    run(go())


def test_no_descriptor_for_a_relay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a relay cannot be made bytes are copied, and a log line says so."""

    def none_left(*arguments: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "AVAILABLE", True)
    monkeypatch.setattr(module, "Relay", none_left)

    async def go() -> None:
        one = Listening()
        client = one.connect()
        client.send(b"x")
        await until(lambda: one.servers)
        assert await read(one.servers[0], 1) == b"x"
        reset(client)
        await one.end()
        assert "for want of descriptors" in one.env.logged[0]

    run(go())


def test_a_thousand_at_once(run: Run, way: str) -> None:
    """Many connections, each with its own bytes; all end, none twice."""
    count = 200 if way == "copying" else 400

    async def talk(client: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        data = b"%d " % number * 5000
        await loop.sock_sendall(client, data)
        client.shutdown(socket.SHUT_WR)
        assert await read_to_end(client) == data
        client.close()

    async def echo(server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(server, 65536):
            await loop.sock_sendall(server, data)
        server.close()

    async def go() -> None:
        echoes: list[asyncio.Task[None]] = []

        async def answered(self: Listening, call: Call) -> Reply:
            reply = self.reply()
            echoes.append(asyncio.create_task(echo(self.servers[-1])))
            return reply

        one = Listening(answered)
        clients = [one.connect() for _ in range(count)]
        await asyncio.gather(*(talk(each, number) for number, each in enumerate(clients)))
        await asyncio.gather(*echoes)
        await until(lambda: len(one.calls) == count)
        assert one.adapter.connections == 0
        assert all(each.bytes_in == each.bytes_out > 0 and not each.flags for each in one.calls)
        one.adapter.close_all()

    run(go())


def test_repr() -> None:
    """What is shown of an adapter fits a line."""
    assert repr(TcpAdapter("db", TcpOptions(), Env())) == "<TcpAdapter db 0 connections, 0 connecting>"
    assert TcpConnection.__slots__


async def secured(one: Listening, authority: Authority) -> Peer:
    """A client of a listener that speaks TLS, with a certificate, whose handshake is over."""
    path = str(authority.issue("localhost", ["localhost"]))
    tls = ListenerTls.model_validate({"certificates": path, "client_ca": str(authority.ca)})
    handshakes = Handshakes("tcp", "db", one.env, one.adapter.secured)
    handshakes.context = serve(tls).context
    client, ours = tcp_pair()
    handshakes.accepted(Accepted(asyncio.get_running_loop(), ours, client.getsockname()))
    peer = Peer(client, client_side(authority, authority.issue("app", ["spiffe://shop/app"])))
    await peer.handshake()
    await until(lambda: one.adapter.open or one.calls)
    return peer


def test_tls_ends_here(run: Run, way: str, authority: Authority) -> None:
    """The server sees plain bytes, and the call says who the client is; each direction may end by itself."""

    async def go() -> None:
        one = Listening()
        peer = await secured(one, authority)
        await peer.send(b"question")
        await until(lambda: one.servers)
        assert await read(one.servers[0], 8) == b"question"
        await peer.goodbye()
        assert await read_to_end(one.servers[0]) == b""
        await asyncio.get_running_loop().sock_sendall(one.servers[0], b"x" * 300_000)
        one.servers[0].shutdown(socket.SHUT_WR)
        assert await peer.read(400_000) == b"x" * 300_000
        call = await one.end(peer.sock)
        assert (call.identity, call.bytes_in, call.bytes_out) == ("spiffe://shop/app", 8, 300_000)
        assert call.flags == ()

    run(go())


def test_a_client_of_tls_that_leaves_cancels_its_call(run: Run, authority: Authority) -> None:
    """While it waits for a connection to a server too."""
    waiting: list[Call] = []

    async def never(self: Listening, call: Call) -> Reply:
        waiting.append(call)
        await self.env.sleep(3600)
        raise AssertionError

    async def go() -> None:
        one = Listening(never)
        peer = await secured(one, authority)
        await until(lambda: waiting)
        reset(peer.sock)
        call = await one.end()
        assert call.flags == ("DC",)

    run(go())


def test_clients_of_tls_are_cut(run: Run, authority: Authority) -> None:
    async def go() -> None:
        one = Listening()
        peer = await secured(one, authority)
        await until(lambda: one.servers)
        one.adapter.close_all()
        with pytest.raises(ConnectionResetError):
            await peer.read(1)
        call = await one.end(peer.sock)
        assert call.flags == ("LR",)

    run(go())
