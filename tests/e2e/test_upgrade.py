"""Upgraded connections: WebSocket by aiohttp on both ends, and a protocol of our own in bytes."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Iterator

import aiohttp
import pytest

from tests.e2e.support import AioServer, Edge, start_edge
from tests.support import RawClient, TcpUpstream, until


def switch(link: RawClient) -> None:
    """Upgrade to a protocol that says everything back in capitals, beginning in the same packet as the 101."""
    head = link.read_until(b"\r\n\r\n").lower()
    if b"\r\nupgrade: shout\r\n" not in head:
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno switch")
        return
    link.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nHELLO\n")
    while data := link.sock.recv(65536):
        link.send(data.upper())
    link.send(b"BYE\n")


@pytest.fixture(scope="module")
def shout() -> Iterator[TcpUpstream]:
    """The protocol of our own."""
    one = TcpUpstream(switch)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, app: AioServer, shout: TcpUpstream) -> Iterator[Edge]:
    """The sidecar; the host ``closed`` may not be upgraded, tunnels of ``brief`` may be idle for half a second."""
    routes = [
        {"match": {"host": "closed"}, "to": "app", "upgrade": False},
        {"match": {"host": "shout"}, "to": "shout"},
        {"to": "app"},
    ]
    one = start_edge(
        tmp_path_factory.mktemp("edge"),
        {"app": [app.address], "shout": [shout.address]},
        routes,
        http={"timeouts": {"tunnel_idle": "1s"}},
    )
    yield one
    one.mesh.stop()


def by_websocket(
    edge: Edge, talk: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]], **options: Any
) -> None:
    """Open a WebSocket through the sidecar and talk."""

    async def run() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{edge.url}/ws", max_msg_size=0, **options) as socket,
        ):
            await talk(socket)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_messages(edge: Edge) -> None:
    """Text and bytes, small and large, pass both ways."""

    async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
        for number in range(50):
            await socket.send_str(f"message {number}")
            assert await socket.receive_str() == f"message {number}"
        large = bytes(range(256)) * 16384
        await socket.send_bytes(large)
        assert await socket.receive_bytes() == large

    by_websocket(edge, talk, protocols=("echo",))


def test_server_closes(edge: Edge) -> None:
    """The server's close code reaches the client."""

    async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str("close")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "as asked")

    by_websocket(edge, talk)


def test_client_closes(edge: Edge, app: AioServer) -> None:
    """The server sees the client's close, the log has one line with status 101."""
    before = app.ended.count("/ws")

    async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str("x")
        await socket.receive_str()
        await socket.close()

    by_websocket(edge, talk)
    until(lambda: app.ended.count("/ws") > before, "the server to see it")
    assert edge.line("/ws")["status"] == 101


def test_client_vanishes(edge: Edge, app: AioServer) -> None:
    """A client that resets its connection takes the upstream's with it."""
    before = app.ended.count("/ws")
    client = RawClient(edge.port)
    client.send(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = client.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    client.reset()
    until(lambda: app.ended.count("/ws") > before, "the server to see it")
    until(lambda: edge.mesh.metric("twisted_mesh_downstream_calls_active", listener="edge") == 0, "the call to end")


def test_refused_by_the_server(edge: Edge) -> None:
    """An upgrade that the server does not take is an ordinary answer, and the connection goes on."""
    with RawClient(edge.port) as client:
        client.send(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        answer = client.read_answer()
        assert (answer.status, len(answer.body)) == (200, 5)
        client.send(b"GET /bytes/6 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(client.read_answer().body) == 6


def test_forbidden_by_the_route(edge: Edge) -> None:
    """A route that forbids upgrades: no 101, nothing of the new protocol gets through."""
    with RawClient(edge.port) as client:
        client.send(
            b"GET /ws HTTP/1.1\r\nHost: closed\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.read_answer().status >= 400


ASK = b"GET / HTTP/1.1\r\nHost: shout\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"


def test_bytes_in_the_same_packet(edge: Edge) -> None:
    """What either side sends right behind its head belongs to the tunnel."""
    with RawClient(edge.port) as client:
        client.send(ASK + b"early\n")
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nupgrade: shout\r\n" in head.lower()
        assert client.read_until(b"\n") == b"HELLO\n"
        assert client.read_until(b"\n") == b"EARLY\n"
        client.send(b"late\n")
        assert client.read_until(b"\n") == b"LATE\n"


def test_half_close(edge: Edge) -> None:
    """A side that has no more to say can still listen."""
    with RawClient(edge.port) as client:
        client.send(ASK)
        client.read_until(b"HELLO\n")
        client.send(b"last\n")
        client.half_close()
        assert client.read_to_end() == b"LAST\nBYE\n"


def test_bulk(edge: Edge) -> None:
    """Many bytes, with backpressure: both ends send before they read."""
    with RawClient(edge.port) as client:
        client.send(ASK)
        client.read_until(b"HELLO\n")
        size = 0
        for _ in range(64):
            client.send(b"a" * 65536)
            size += len(client.read_exactly(65536))
        assert size == 64 * 65536


def test_idle(edge: Edge) -> None:
    """A tunnel in which nothing moves is closed, with the flag for it."""
    with RawClient(edge.port) as client:
        client.send(ASK)
        client.read_until(b"HELLO\n")
        try:
            assert client.read_to_end() == b""
        except ConnectionResetError:
            pass
    until(lambda: any("SI" in each.get("flags", ()) for each in edge.lines()), "a line with SI")


@pytest.mark.parametrize("protocol", [b"h2c", b"h2c, shout", b"HTTP/2.0"])
def test_never_h2c(edge: Edge, protocol: bytes) -> None:
    """An upgrade to HTTP/2 does not reach the server: it would carry requests past every rule."""
    seen = []

    def talk(link: RawClient) -> None:
        seen.append(link.read_until(b"\r\n\r\n").lower())
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    upstream = TcpUpstream(talk)
    with RawClient(edge.port) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: " + protocol + b"\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
        )
        answer = client.read_answer()
    upstream.stop()
    assert answer.status != 101
    assert all(b"h2c" not in each and b"http2-settings" not in each for each in seen)
