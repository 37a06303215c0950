"""The other end of a TLS connection, record by record, for the tests of `net`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any, Optional

from tests.net.support import HalfRecorder, tcp_pair, until
from tests.tls_front import Authority
from twisted_mesh.net.accept import attach
from twisted_mesh.net.tls_transport import TlsTransport


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_side(authority: Authority, certificate: Optional[Path] = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


class Peer:
    """A TLS client over a non-blocking socket, which does nothing by itself."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str = "localhost") -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    async def flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, self.outgoing.read())

    async def _more(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.incoming.write(data)
        return bool(data)

    async def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                if not await self._more():
                    raise ConnectionError("the other end has left") from None
        await self.flush()

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
            await self.flush()

    def sealed(self, data: bytes) -> bytes:
        """The records of `data`, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    async def read(self, size: int) -> bytes:
        """Read exactly `size` bytes, or up to the end: its close_notify, or (a FIN without one) an EOFError."""
        found = bytearray()
        while len(found) < size:
            try:
                piece = self.tls.read(min(size - len(found), 65536))
            except ssl.SSLWantReadError:
                if not await self._more():
                    raise EOFError("no close_notify") from None
                continue
            except ssl.SSLZeroReturnError:
                # As above, where this end has said goodbye before.
                break
            if not piece:
                break
            found += piece
        return bytes(found)

    async def goodbye(self) -> None:
        """Send a close_notify and no FIN."""
        with contextlib.suppress(ssl.SSLError):
            # It wants the other's, which need not be there yet.
            self.tls.unwrap()
        await self.flush()

    def close(self) -> None:
        self.sock.close()


class Secured:
    """Has a transport adopt a protocol when its handshake is over."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.error: Optional[BaseException] = None
        self.told = 0

    def __call__(self, transport: TlsTransport, error: Optional[BaseException]) -> None:
        self.told += 1
        self.error = error
        if error is None:
            transport.adopt(self.protocol)


async def begun(context: ssl.SSLContext, protocol: Any = None) -> tuple[Secured, TlsTransport, socket.socket]:
    """A server's TLS transport before its handshake, and the socket of its peer."""
    ours, theirs = tcp_pair()
    loop = asyncio.get_running_loop()
    secured = Secured(HalfRecorder() if protocol is None else protocol)
    transport = TlsTransport(loop, ours, context, secured)
    attach(loop, transport)
    return secured, transport, theirs


async def secure(
    server: ssl.SSLContext, client: ssl.SSLContext, protocol: Any = None
) -> tuple[Any, TlsTransport, Peer]:
    """A protocol on a TLS transport whose handshake is over, the transport, and its peer."""
    secured, transport, sock = await begun(server, protocol)
    peer = Peer(sock, client)
    await peer.handshake()
    await until(lambda: secured.told)
    return secured.protocol, transport, peer
