"""Sockets, protocols and waiting for the tests of `net`."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Callable, Optional

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mesh.net.accept import attach
from twisted_mesh.net.transport import LoopTransport
from twisted_mesh.park import Parked


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Let the loop run until `condition` gives something true."""
    deadline = asyncio.get_running_loop().time() + 15
    while True:
        value = condition()
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(0.002)


async def turns(count: int = 20) -> None:
    """Let the loop turn, so that what is going to happen at once has happened."""
    for _ in range(count):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


async def wait(parked: Parked[Any]) -> Any:
    """Await a Parked in a test's task."""
    future = asyncio.get_running_loop().create_future()
    if not parked.done:
        parked.resume = lambda: future.set_result(None)
        await future
    if parked.error is not None:
        raise parked.error
    return parked.value


def tcp_pair(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Two connected, non-blocking TCP sockets."""
    listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
    ours = socket.create_connection(listener.getsockname()[:2])
    theirs, _ = listener.accept()
    listener.close()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def reset(sock: socket.socket) -> None:
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def read(sock: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes, or up to the end."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        piece = await loop.sock_recv(sock, min(size - len(data), 65536))
        if not piece:
            break
        data += piece
    return bytes(data)


async def read_to_end(sock: socket.socket) -> bytes:
    """Read until the peer's FIN."""
    return await read(sock, 1 << 40)


class Recorder(Protocol):
    """Remembers what happens to it."""

    def __init__(self) -> None:
        self.data = b""
        self.made = 0
        self.lost: list[type] = []

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.lost.append(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """Goes on after the peer's EOF."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def readConnectionLost(self) -> None:
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        self.ends.append("write")


async def connected(
    protocol: Optional[Any] = None, family: int = socket.AF_INET
) -> tuple[Any, LoopTransport, socket.socket]:
    """A protocol on a LoopTransport, its transport, and the raw socket of its peer."""
    ours, theirs = socket.socketpair() if family == socket.AF_UNIX else tcp_pair(family)
    if family == socket.AF_UNIX:
        ours.setblocking(False)
        theirs.setblocking(False)
    protocol = Recorder() if protocol is None else protocol
    transport = LoopTransport(asyncio.get_running_loop(), ours, protocol)
    attach(asyncio.get_running_loop(), transport)
    await until(lambda: transport.write.__name__ != "_too_early")
    return protocol, transport, theirs
