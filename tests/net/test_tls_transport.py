"""TLS over the loop's transports."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from zope.interface.verify import verifyObject

from tests.bodies import Producer
from tests.net.conftest import Run
from tests.net.support import HalfRecorder, Recorder, read_to_end, reset, tcp_pair, turns, until
from tests.net.tls_support import Peer, Secured, begun, client_side, secure, server_side
from tests.tls_front import Authority
from twisted_mesh.net import tls_transport as module
from twisted_mesh.net import transport as plain
from twisted_mesh.net.accept import attach

BIG = bytes(range(256)) * 16384


@pytest.fixture
def server(authority: Authority) -> ssl.SSLContext:
    return server_side(authority.issue("server", ["localhost"]))


@pytest.fixture
def client(authority: Authority) -> ssl.SSLContext:
    return client_side(authority)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest, client: ssl.SSLContext) -> Any:
    client.minimum_version = client.maximum_version = (
        ssl.TLSVersion.TLSv1_2 if request.param == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    )
    return request.param


def test_bytes_go_both_ways(run: Run, server: ssl.SSLContext, client: ssl.SSLContext, version: str) -> None:
    """Small and large, in one write and in several, and what the loop reads at once is delivered at once."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        assert transport.session.version() == version
        assert verifyObject(ITCPTransport, transport)
        assert not hasattr(transport, "__dict__")
        await peer.send(b"hello")
        await until(lambda: protocol.data == b"hello")
        transport.write(b"")
        transport.write(b"one ")
        transport.writeSequence([b"two ", b"three"])
        assert await peer.read(13) == b"one two three"
        transport.write(BIG)
        assert await peer.read(len(BIG)) == BIG
        protocol.data = b""
        sending = asyncio.ensure_future(peer.send(BIG))
        await until(lambda: len(protocol.data) == len(BIG))
        await sending
        assert protocol.data == BIG
        transport.reset()
        peer.close()
        await until(lambda: protocol.lost)

    run(go())


def test_records_in_pieces(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A handshake, and records, byte by byte."""

    async def go() -> None:
        secured, transport, sock = await begun(server)
        loop = asyncio.get_running_loop()
        peer = Peer(sock, client)

        async def slowly() -> None:
            for byte in peer.outgoing.read():
                await loop.sock_sendall(sock, bytes([byte]))
                await asyncio.sleep(0)

        peer.flush = slowly  # type: ignore[method-assign]
        await peer.handshake()
        await peer.send(b"a" * 300)
        await until(lambda: secured.protocol.data == b"a" * 300)
        transport.reset()
        peer.close()
        await turns()

    run(go())


def test_what_comes_with_the_handshake(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A client's first bytes may stand behind its Finished in one read."""

    async def go() -> None:
        secured, transport, sock = await begun(server)
        peer = Peer(sock, client)
        sent = bytearray()

        async def hold_back() -> None:
            sent.extend(peer.outgoing.read())
            if peer.tls.version() is None or not peer.tls.session:
                await asyncio.get_running_loop().sock_sendall(sock, bytes(sent))
                sent.clear()

        peer.flush = hold_back  # type: ignore[method-assign]
        await peer.handshake()
        sent.extend(peer.sealed(b"x" * 40000))
        sent.extend(peer.sealed(b"behind"))
        await asyncio.get_running_loop().sock_sendall(sock, bytes(sent))
        view = b"x" * 16384
        await until(lambda: secured.protocol.data.endswith(b"behind"))
        assert secured.protocol.data.startswith(view)
        transport.reset()
        peer.close()
        await turns()

    run(go())


def test_the_peer_ends_its_direction(run: Run, server: ssl.SSLContext, client: ssl.SSLContext, version: str) -> None:
    """After a close_notify a protocol that can may go on writing; its own end is a close_notify and a FIN."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        await peer.send(b"all")
        await peer.goodbye()
        await until(lambda: protocol.ends == ["read"])
        assert protocol.data == b"all" and not transport.truncated
        transport.write(b"answer")
        transport.loseConnection()
        assert await peer.read(100) == b"answer"
        peer.close()
        await until(lambda: protocol.lost == [ConnectionDone])

    run(go())


def test_we_end_our_direction(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """The peer sees the end, and what it sends afterwards still comes."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        transport.write(b"mine")
        transport.loseWriteConnection()
        assert protocol.ends == ["write"]
        assert await peer.read(100) == b"mine"
        await peer.send(b"more")
        await until(lambda: protocol.data == b"more")
        await peer.goodbye()
        peer.close()
        await until(lambda: protocol.lost == [ConnectionDone])

    run(go())


@pytest.mark.parametrize("protocol", [Recorder, HalfRecorder])
def test_an_end_without_close_notify(
    run: Run, server: ssl.SSLContext, client: ssl.SSLContext, protocol: type[Recorder]
) -> None:
    """A bare FIN ends as any other, and is told apart by who wants to know."""

    async def go() -> None:
        made, transport, peer = await secure(server, client, protocol())
        peer.sock.shutdown(socket.SHUT_WR)
        await until(lambda: made.lost or getattr(made, "ends", None))
        assert transport.truncated
        transport.loseConnection()
        await until(lambda: made.lost == [ConnectionDone])
        peer.close()

    run(go())


def test_a_reset(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """The peer's is a ConnectionLost, ours a ConnectionAborted that the peer sees as a reset."""

    async def go() -> None:
        protocol, _, peer = await secure(server, client)
        reset(peer.sock)
        await until(lambda: protocol.lost == [ConnectionLost])
        protocol, transport, peer = await secure(server, client)
        transport.write(b"lost")
        transport.abortConnection()
        with pytest.raises(ConnectionResetError):
            while True:
                await peer.read(1)
        await until(lambda: protocol.lost == [ConnectionAborted])
        peer.close()

    run(go())


def test_what_is_no_tls(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A record that was changed on its way ends the connection; what came before it was delivered."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        good, bad = peer.sealed(b"good"), bytearray(peer.sealed(b"bad"))
        bad[-1] ^= 1
        await asyncio.get_running_loop().sock_sendall(peer.sock, good + bytes(bad))
        await until(lambda: protocol.lost)
        assert protocol.data == b"good" and protocol.lost == [ConnectionLost]
        assert isinstance(transport.failure, ssl.SSLError)
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            await peer.read(1)
        peer.close()

    run(go())


def test_a_handshake_that_fails(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Whoever waits is told once, and the peer gets an alert."""

    async def go() -> None:
        server.minimum_version = ssl.TLSVersion.TLSv1_3
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        secured, transport, sock = await begun(server)
        peer = Peer(sock, client)
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            await peer.handshake()
        assert isinstance(secured.error, ssl.SSLError) and secured.told == 1
        assert secured.protocol.made == 0
        peer.close()
        await until(lambda: transport.disconnecting and transport.data_received is plain.dropped)

    run(go())


def test_a_peer_that_leaves_during_the_handshake(run: Run, server: ssl.SSLContext) -> None:
    async def go() -> None:
        for leave in (reset, lambda sock: sock.close()):
            secured, _, sock = await begun(server)
            await turns()
            leave(sock)
            await until(lambda secured=secured: secured.told)
            assert isinstance(secured.error, module.Gone)
            await turns()
            assert secured.told == 1

    run(go())


def test_a_handshake_that_takes_too_long(run: Run, server: ssl.SSLContext) -> None:
    """The peer sees a reset."""

    async def go() -> None:
        secured, transport, sock = await begun(server)
        await turns()
        transport.limit(0.01)
        await until(lambda: secured.told)
        assert isinstance(secured.error, module.Late)
        with pytest.raises(ConnectionResetError):
            await read_to_end(sock)
        sock.close()
        await turns()
        assert secured.told == 1

    run(go())


def test_a_protocol_that_fails_when_it_is_made(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """It is logged, and the connection ends."""

    class Broken(Recorder):
        def connectionMade(self) -> None:
            raise RuntimeError("no")

    async def go() -> None:
        protocol, _, peer = await secure(server, client, Broken())
        await until(lambda: protocol.lost == [ConnectionAborted])
        peer.close()

    run(go())


def test_backpressure(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A peer that does not read pauses a producer; a protocol that is paused reads no more than the kernel holds."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        producer = Producer()
        transport.registerProducer(producer, True)
        sent = 0
        while "pause" not in producer.told:
            assert sent < 100 * len(BIG)
            transport.write(BIG)
            sent += len(BIG)
        assert len(await peer.read(sent)) == sent
        await until(lambda: "resume" in producer.told)
        transport.pauseProducing()
        sending = asyncio.ensure_future(peer.send(BIG))
        await turns()
        held = len(protocol.data)
        await turns()
        assert len(protocol.data) == held
        transport.resumeProducing()
        await until(lambda: len(protocol.data) == len(BIG))
        await sending
        transport.reset()
        peer.close()
        await turns()

    run(go())


def test_another_protocol_takes_over(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    async def go() -> None:
        first, transport, peer = await secure(server, client)
        await peer.send(b"1")
        await until(lambda: first.data == b"1")
        second = HalfRecorder()
        transport.switch(second)
        await peer.send(b"2")
        await until(lambda: second.data == b"2")
        assert first.data == b"1" and second.made == 1
        transport.finish()
        assert await peer.read(1) == b""
        await peer.send(b"dropped")
        peer.close()
        await until(lambda: second.lost == [ConnectionDone])
        assert second.data == b"2"

    run(go())


def test_what_openssl_keeps_is_bounded(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """After megabytes in both directions its buffers hold a few records."""

    class Watched:
        def __init__(self, bio: ssl.MemoryBIO) -> None:
            self._bio = bio
            self.most = 0

        def write(self, data: bytes) -> int:
            written = self._bio.write(data)
            self.most = max(self.most, self._bio.pending)
            return written

        def read(self) -> bytes:
            self.most = max(self.most, self._bio.pending)
            return self._bio.read()

        @property
        def pending(self) -> int:
            return self._bio.pending

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        incoming, outgoing = Watched(transport._incoming), Watched(transport._outgoing)
        transport._incoming, transport._outgoing = incoming, outgoing  # type: ignore[assignment]
        transport.write(BIG)
        assert await peer.read(len(BIG)) == BIG
        sending = asyncio.ensure_future(peer.send(BIG))
        await until(lambda: len(protocol.data) == len(BIG))
        await sending
        assert 0 < incoming.most < 64 * 1024 and 0 < outgoing.most < 20 * 1024
        transport.reset()
        peer.close()
        await turns()

    run(go())


def test_a_client_of_tls(run: Run, authority: Authority, client: ssl.SSLContext) -> None:
    """The other side of a handshake: it begins by itself, and looks at the name."""

    async def go(name: str) -> Any:
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        secured = Secured(HalfRecorder())
        transport = module.TlsTransport(loop, ours, client, secured, server_name=name)
        attach(loop, transport)
        server = Secured(HalfRecorder())
        attach(loop, module.TlsTransport(loop, theirs, server_side(authority.issue("s", ["localhost"])), server))
        await until(lambda: secured.told and server.told)
        transport.reset()
        await turns()
        return secured.error

    assert run(go("localhost")) is None
    assert isinstance(run(go("other")), ssl.SSLCertVerificationError)


def test_what_was_left_behind(run: Run, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """What the kernel holds when a connection is lost is decrypted too."""

    async def go() -> None:
        protocol, transport, peer = await secure(server, client)
        transport.pauseProducing()
        await turns()
        await peer.send(b"a last word")
        await until(lambda: transport.left_behind() == b"a last word")
        transport.reset()
        peer.close()
        await until(lambda: protocol.lost)

    run(go())
