"""Connecting."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone

from tests.net.conftest import Run
from tests.net.support import Recorder, read, read_to_end, turns, until, wait
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.model import Address
from twisted_mesh.net import connect as module
from twisted_mesh.net.connect import Connector

LOCAL = [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]


def server(host: str = "127.0.0.1", family: int = socket.AF_INET) -> tuple[socket.socket, Address]:
    """A listening socket, and where it listens."""
    listener = socket.create_server((host, 0), family=family)
    return listener, Address(host, listener.getsockname()[1])


class Slow(socket.socket):
    """A socket that does not see at once that it is connected, as with another machine."""

    def connect_ex(self, address: Any, /) -> int:
        super().connect_ex(address)
        return errno.EALREADY


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections take a turn of the loop at least."""

    def open_slow(address: Address) -> tuple[socket.socket, Any]:
        sock = Slow(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock, (address.host, address.port)

    monkeypatch.setattr(module, "_open", open_slow)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("host,family", LOCAL)
def test_connects_a_protocol(run: Run, host: str, family: int, far: bool, request: pytest.FixtureRequest) -> None:
    """The protocol's makeConnection has been called when the waiter goes on."""
    if far:
        request.getfixturevalue("slow")

    async def go() -> None:
        listener, address = server(host, family)
        protocol = Recorder()
        await wait(Connector(asyncio.get_running_loop()).connect(address, protocol, 5.0))
        assert protocol.made == 1
        theirs, _ = listener.accept()
        theirs.setblocking(False)
        protocol.transport.write(b"hello")
        assert await read(theirs, 5) == b"hello"
        assert far or protocol.transport.getTcpNoDelay()
        theirs.close()
        listener.close()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]

    run(go())


@pytest.mark.parametrize("far", [False, True])
def test_connects_a_socket(run: Run, far: bool, request: pytest.FixtureRequest) -> None:
    """The socket itself comes, non-blocking and without Nagle's delay, from this machine at once."""
    if far:
        request.getfixturevalue("slow")

    async def go() -> None:
        listener, address = server()
        parked = Connector(asyncio.get_running_loop()).connect_socket(address, 5.0)
        # Linux has shaken hands with itself before connect() returns; other systems may take their time.
        assert parked.done is not far or not sys.platform.startswith("linux")
        sock = await wait(parked)
        assert sock.gettimeout() == 0.0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()
        listener.close()

    run(go())


def test_unix(run: Run, tmp_path: Path) -> None:
    """A unix socket connects at once, for a socket and for a protocol."""

    async def go() -> None:
        path = str(tmp_path / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        connector = Connector(asyncio.get_running_loop())
        parked = connector.connect_socket(Address("", 0, path), 5.0)
        assert parked.done
        (await wait(parked)).close()
        protocol = Recorder()
        await wait(connector.connect(Address("", 0, path), protocol, 5.0))
        assert protocol.made == 1
        protocol.transport.loseConnection()
        await until(lambda: protocol.lost)
        listener.close()
        with pytest.raises(MeshError) as caught:
            await wait(connector.connect_socket(Address("", 0, path), 5.0))
        assert caught.value.kind is Kind.CONNECT_FAILED
        with pytest.raises(MeshError, match="no such file"):
            await wait(connector.connect_socket(Address("", 0, path + "x"), 5.0))

    run(go())


def test_unix_with_a_full_backlog(run: Run, tmp_path: Path) -> None:
    """A unix socket whose backlog is full is a failure at once: waiting would not be told of."""

    async def go() -> None:
        path = str(tmp_path / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(0)
        connector = Connector(asyncio.get_running_loop())
        made = [await wait(connector.connect_socket(Address("", 0, path), 5.0))]
        with pytest.raises(MeshError, match="its backlog is full") as caught:
            while True:
                made.append(await wait(connector.connect_socket(Address("", 0, path), 5.0)))
        assert caught.value.kind is Kind.CONNECT_FAILED and caught.value.retryable
        for each in [listener, *made]:
            each.close()

    run(go())


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("way", ["connect", "connect_socket"])
def test_refused(run: Run, way: str, far: bool, request: pytest.FixtureRequest) -> None:
    """A refused connection is the upstream's fault and can be tried again."""
    if far:
        request.getfixturevalue("slow")

    async def go() -> None:
        listener, address = server()
        listener.close()
        connector = Connector(asyncio.get_running_loop())
        protocol = Recorder()
        with pytest.raises(MeshError) as caught:
            if way == "connect":
                await wait(connector.connect(address, protocol, 5.0))
            else:
                await wait(connector.connect_socket(address, 5.0))
        error = caught.value
        assert (error.kind, error.origin, error.retryable) == (Kind.CONNECT_FAILED, Origin.UPSTREAM, True)
        assert error.detail == f"{address}: connection refused"
        assert protocol.made == 0 and protocol.lost == []

    run(go())


def test_timeout(run: Run) -> None:
    """An address that does not answer is given up in time."""

    async def go() -> None:
        # A full backlog does not answer.
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = Address("127.0.0.1", listener.getsockname()[1])
        connector = Connector(asyncio.get_running_loop())
        made = []
        with pytest.raises(MeshError) as caught:
            while True:
                made.append(await wait(connector.connect_socket(address, 0.1)))
        error = caught.value
        assert (error.kind, error.origin, error.retryable) == (Kind.CONNECT_TIMEOUT, Origin.UPSTREAM, True)
        assert error.detail == f"{address}: no connection within 0.1 s"
        for each in [listener, *made]:
            each.close()

    run(go())


@pytest.mark.parametrize("way", ["connect", "connect_socket"])
def test_nobody_waits_any_more(run: Run, way: str, slow: None) -> None:
    """A connection that is made after its call was cancelled is closed, and its protocol never hears of it."""

    async def go() -> None:
        listener, address = server()
        listener.setblocking(False)
        connector = Connector(asyncio.get_running_loop())
        protocol = Recorder()
        if way == "connect":
            parked: Any = connector.connect(address, protocol, 5.0)
        else:
            parked = connector.connect_socket(address, 5.0)
        parked.resume = None
        theirs, _ = await asyncio.get_running_loop().sock_accept(listener)
        assert await read_to_end(theirs) == b""
        await turns()
        assert protocol.made == 0 and protocol.lost == [] and not parked.done
        theirs.close()
        listener.close()

    run(go())


def test_cancelled_between_connected_and_made(run: Run, slow: None) -> None:
    """The same if the call is cancelled when the loop already has the socket."""

    async def go() -> None:
        listener, address = server()
        listener.setblocking(False)
        protocol = Recorder()
        attempt = module._ForProtocol(asyncio.get_running_loop(), address, protocol)
        attempt.parked.resume = lambda: None
        attempt.start(5.0)
        connected = attempt._connected

        def cancelled(sock: socket.socket) -> None:
            connected(sock)
            attempt.parked.resume = None

        setattr(module._ForProtocol, "_connected", lambda self, sock: cancelled(sock))
        try:
            theirs, _ = await asyncio.get_running_loop().sock_accept(listener)
            assert await read_to_end(theirs) == b""
        finally:
            setattr(module._ForProtocol, "_connected", connected.__func__)  # type: ignore[attr-defined]
        assert protocol.made == 0 and protocol.lost == []
        theirs.close()
        listener.close()

    run(go())


def test_names_are_not_resolved(run: Run) -> None:
    """A name is refused: resolving it would block the loop."""

    async def go() -> None:
        with pytest.raises(MeshError, match="not a literal IP address") as caught:
            await wait(Connector(asyncio.get_running_loop()).connect_socket(Address("localhost", 80), 5.0))
        assert caught.value.kind is Kind.CONNECT_FAILED

    run(go())


def test_our_own_trouble(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of descriptors is not held against the endpoint."""

    def none_left(address: Address) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "_open", none_left)

    async def go() -> None:
        with pytest.raises(MeshError, match="too many open files") as caught:
            await wait(Connector(asyncio.get_running_loop()).connect_socket(Address("127.0.0.1", 80), 5.0))
        assert (caught.value.kind, caught.value.origin) == (Kind.CONNECT_FAILED, Origin.MESH)

    run(go())


def test_connected_to_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody listening the kernel may connect a socket to its own port: that counts as refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    address = Address("127.0.0.1", sock.getsockname()[1])
    monkeypatch.setattr(module, "_open", lambda address: (sock, (address.host, address.port)))
    monkeypatch.setattr(module, "_FIRST_EPHEMERAL", 1)

    async def go() -> None:
        with pytest.raises(MeshError, match="connection refused"):
            await wait(Connector(asyncio.get_running_loop()).connect_socket(address, 5.0))

    run(go())
    assert sock.fileno() == -1


def test_a_protocol_that_fails(run: Run) -> None:
    """A protocol that raises in makeConnection is an error of the mesh, and its connection is reset."""

    class Fails(Recorder):
        def connectionMade(self) -> None:
            raise ValueError("made")

    async def go() -> None:
        listener, address = server()
        protocol = Fails()
        with pytest.raises(MeshError) as caught:
            await wait(Connector(asyncio.get_running_loop()).connect(address, protocol, 5.0))
        assert caught.value.kind is Kind.INTERNAL
        await until(lambda: protocol.lost)
        listener.close()

    run(go())
