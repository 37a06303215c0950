"""Connections of the loop as Twisted transports."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface.verify import verifyObject

from tests.bodies import Producer
from tests.net.conftest import Run
from tests.net.support import (
    HalfRecorder,
    Recorder,
    connected,
    read,
    read_to_end,
    reset,
    tcp_pair,
    turns,
    until,
)
from twisted_mesh.net import transport as module
from twisted_mesh.net.accept import attach
from twisted_mesh.net.transport import LoopTransport

BIG = b"x" * (16 * 1024 * 1024)


def test_interfaces(run: Run) -> None:
    """A transport is what Twisted's protocols expect, and has no dict."""

    async def go() -> None:
        _, transport, peer = await connected()
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            assert verifyObject(interface, transport)
        assert not hasattr(transport, "__dict__")
        assert transport.getTcpNoDelay()
        transport.setTcpNoDelay(False)
        assert not transport.getTcpNoDelay()
        assert not transport.getTcpKeepAlive()
        transport.setTcpKeepAlive(True)
        assert transport.getTcpKeepAlive()
        transport.reset()
        peer.close()
        await turns()

    run(go())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_bytes_and_addresses(run: Run, family: int) -> None:
    """Bytes go both ways; addresses are Twisted's."""

    async def go() -> None:
        protocol, transport, peer = await connected(family=family)
        peer.send(b"to us")
        await until(lambda: protocol.data == b"to us")
        transport.write(b"to ")
        transport.writeSequence([b"th", b"em"])
        assert await read(peer, 7) == b"to them"
        if family == socket.AF_INET:
            assert transport.getPeer() == IPv4Address("TCP", *peer.getsockname())
            assert transport.getHost() == IPv4Address("TCP", *peer.getpeername())
        elif family == socket.AF_INET6:
            assert transport.getPeer() == IPv6Address("TCP", *peer.getsockname())
        peer.close()
        await until(lambda: protocol.lost)
        assert (protocol.made, protocol.lost) == (1, [ConnectionDone])

    run(go())


def test_the_loop_calls_the_protocol_itself(run: Run) -> None:
    """No frame stands between the loop and dataReceived, or between the protocol and the loop's write."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        assert transport.data_received == protocol.dataReceived
        assert transport.write == transport._transport.write
        peer.close()
        await until(lambda: protocol.lost)
        # And nothing of it is left to keep the three alive.
        assert transport.data_received is transport.write is module.dropped

    run(go())


def test_write_before_it_is_made(run: Run) -> None:
    """Bytes written too early are refused loudly, not lost."""

    async def go() -> None:
        ours, theirs = tcp_pair()
        transport = LoopTransport(asyncio.get_running_loop(), ours, Recorder())
        with pytest.raises(RuntimeError, match="before makeConnection"):
            transport.write(b"early")
        assert transport.buffered == 0
        assert "new" in repr(transport)
        ours.close()
        theirs.close()

    run(go())


def test_reset_by_the_peer(run: Run) -> None:
    """A peer's RST is ConnectionLost; what is written afterwards is dropped."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        reset(peer)
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionLost]
        transport.write(b"late")
        transport.writeSequence([b"late"])
        transport.loseConnection()
        transport.loseWriteConnection()
        transport.finish()
        transport.pauseProducing()
        transport.resumeProducing()
        transport.reset()
        assert transport.buffered == 0
        assert "closing" in repr(transport)
        await turns()
        assert protocol.lost == [ConnectionLost]

    run(go())


@pytest.mark.parametrize("unsent", [b"", BIG])
def test_our_reset_looks_like_one(run: Run, unsent: bytes) -> None:
    """reset() makes the peer see a RST, also behind unsent bytes; the protocol gets ConnectionAborted."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.write(b"part")
        assert await read(peer, 4) == b"part"
        transport.write(unsent)
        transport.reset()
        transport.reset()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionAborted]
        with pytest.raises(ConnectionResetError):
            await read_to_end(peer)
        peer.close()

    run(go())


def test_eof_closes(run: Run) -> None:
    """The peer's FIN ends the connection of a protocol that cannot half-close, after what waits is sent."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.write(BIG)
        peer.shutdown(socket.SHUT_WR)
        assert await read_to_end(peer) == BIG
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]
        peer.close()

    run(go())


def test_half_close_by_the_peer(run: Run) -> None:
    """A protocol that can half-close goes on writing after the peer's FIN, and hears of it once."""

    async def go() -> None:
        protocol, transport, peer = await connected(HalfRecorder())
        peer.send(b"request")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: protocol.ends)
        assert protocol.data == b"request"
        assert "half closed" in repr(transport)
        transport.pauseProducing()
        transport.resumeProducing()
        await turns()
        assert protocol.ends == ["read"] and protocol.lost == []
        transport.write(b"answer")
        transport.loseWriteConnection()
        assert await read_to_end(peer) == b"answer"
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]
        peer.close()

    run(go())


def test_half_close_by_us(run: Run) -> None:
    """After loseWriteConnection the peer sees a FIN behind everything, and we still read; its FIN then ends all."""

    async def go() -> None:
        protocol, transport, peer = await connected(HalfRecorder())
        transport.write(BIG)
        transport.loseWriteConnection()
        transport.loseWriteConnection()
        transport.write(b"dropped")
        assert await read_to_end(peer) == BIG
        peer.send(b"answer")
        await until(lambda: protocol.data == b"answer")
        assert protocol.ends == ["write"]
        peer.close()
        await until(lambda: protocol.lost)
        assert (protocol.ends, protocol.lost) == (["write", "read"], [ConnectionDone])

    run(go())


def test_slow_readers_get_everything(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """loseConnection() lasts as long as the peer takes something, however slowly."""
    monkeypatch.setattr(module, "_LOOK", 0.05)
    monkeypatch.setattr(module, "STUCK", 0.5)

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.write(BIG)
        transport.loseConnection()
        transport.write(b"dropped")
        got = 0
        while True:
            piece = await asyncio.get_running_loop().sock_recv(peer, 256 * 1024)
            if not piece:
                break
            got += len(piece)
            await asyncio.sleep(0.02)
        assert got == len(BIG)
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]
        peer.close()

    run(go())


def test_stuck_readers_are_reset(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """loseConnection() ends although the peer reads nothing at all."""
    monkeypatch.setattr(module, "_LOOK", 0.02)
    monkeypatch.setattr(module, "STUCK", 0.06)

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.write(BIG)
        assert transport.buffered > 0
        transport.loseConnection()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionAborted]
        with pytest.raises(ConnectionResetError):
            await read_to_end(peer)
        peer.close()

    run(go())


def test_finish_lets_a_sending_peer_read(run: Run) -> None:
    """finish() does not destroy the last answer by a RST, although the peer goes on sending for a while."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        peer.send(b"a" * 1000)
        await until(lambda: protocol.data)
        transport.pauseProducing()
        peer.send(b"b" * 100_000)
        transport.write(b"refused")
        transport.finish()
        transport.write(b"dropped")
        for _ in range(5):
            peer.send(b"c" * 10_000)
            await turns()
        assert await read_to_end(peer) == b"refused"
        peer.close()
        await until(lambda: protocol.lost)
        assert (protocol.data, protocol.lost) == (b"a" * 1000, [ConnectionDone])

    run(go())


def test_finish_does_not_wait_for_ever(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """finish() resets a peer that never closes; a peer that has closed already is not waited for."""
    monkeypatch.setattr(module, "LINGER", 0.05)

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.write(b"refused")
        transport.finish()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionAborted]
        peer.close()
        protocol, transport, peer = await connected(HalfRecorder())
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: protocol.ends)
        transport.finish()
        assert await read_to_end(peer) == b""
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionDone]
        peer.close()

    run(go())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_finish_waits_for_a_slow_reader(run: Run, monkeypatch: pytest.MonkeyPatch, family: int) -> None:
    """However long it takes, as long as it takes anything; one that stands still is reset."""
    # Shorter than the reading takes, and long enough for the peer to close at the end, also on a busy machine.
    monkeypatch.setattr(module, "LINGER", 1.0)
    monkeypatch.setattr(module, "STUCK", 10.0)

    async def go() -> None:
        protocol, transport, peer = await connected(family=family)
        transport.write(BIG)
        transport.finish()
        got = 0
        while got < len(BIG):
            got += len(await read(peer, 1024 * 1024))
            await asyncio.sleep(0.1)
        assert await read(peer, 1) == b""
        peer.close()
        await until(lambda: protocol.lost)
        assert (got, protocol.lost) == (len(BIG), [ConnectionDone])
        monkeypatch.setattr(module, "LINGER", 0.1)
        monkeypatch.setattr(module, "STUCK", 0.4)
        protocol, transport, peer = await connected(family=family)
        transport.write(BIG)
        transport.finish()
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionAborted]
        peer.close()

    run(go())


def test_backpressure(run: Run) -> None:
    """A push producer is paused while too much waits, also one that registers then, and stopped at the end."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        first = Producer()
        transport.registerProducer(first, True)
        with pytest.raises(RuntimeError):
            transport.registerProducer(Producer(), True)
        with pytest.raises(ValueError, match="push"):
            transport.registerProducer(Producer(), False)
        transport.write(BIG)
        assert first.told == ["pause"]
        transport.unregisterProducer()
        second = Producer()
        transport.registerProducer(second, True)
        assert second.told == ["pause"]
        assert await read(peer, len(BIG)) == BIG
        await until(lambda: second.told == ["pause", "resume"])
        reset(peer)
        await until(lambda: protocol.lost)
        assert second.told == ["pause", "resume", "stop"]
        assert first.told == ["pause"]
        third = Producer()
        transport.registerProducer(third, True)
        assert third.told == ["stop"]

    run(go())


def test_reading_pauses(run: Run) -> None:
    """Nothing is delivered while reading is paused, and all of it afterwards."""

    async def go() -> None:
        protocol, transport, peer = await connected()
        transport.pauseProducing()
        transport.pauseProducing()
        await turns()
        peer.send(b"waits")
        await turns()
        assert protocol.data == b""
        transport.resumeProducing()
        transport.resumeProducing()
        await until(lambda: protocol.data == b"waits")
        transport.stopProducing()
        assert await read_to_end(peer) == b""
        await until(lambda: protocol.lost)
        peer.close()

    run(go())


def test_paused_when_it_is_made(run: Run) -> None:
    """A protocol that pauses in makeConnection gets nothing, though bytes are there already."""

    class Paused(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    async def go() -> None:
        for _ in range(10):
            ours, peer = tcp_pair()
            peer.send(b"early")
            protocol = Paused()
            loop = asyncio.get_running_loop()
            attach(loop, LoopTransport(loop, ours, protocol))
            await until(lambda protocol=protocol: protocol.made)
            await turns()
            assert protocol.data == b""
            protocol.transport.resumeProducing()
            await until(lambda protocol=protocol: protocol.data == b"early")
            protocol.transport.reset()
            await until(lambda protocol=protocol: protocol.lost)
            peer.close()

    run(go())


@pytest.mark.parametrize("paused", [False, True])
def test_switch(run: Run, paused: bool) -> None:
    """Another protocol can take a connection over, and gets everything from then on."""

    async def go() -> None:
        first, transport, peer = await connected()
        peer.send(b"one")
        await until(lambda: first.data == b"one")
        if paused:
            transport.pauseProducing()
        second = Recorder()
        transport.switch(second)
        assert second.made == 1 and second.transport is transport
        peer.send(b"two")
        if paused:
            await turns()
            assert second.data == b""
            transport.resumeProducing()
        await until(lambda: second.data == b"two")
        peer.close()
        await until(lambda: second.lost)
        assert (first.data, first.lost, second.lost) == (b"one", [], [ConnectionDone])

    run(go())


class Broken(Recorder):
    """Raises where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.where == "made":
            raise ValueError("made")

    def dataReceived(self, data: bytes) -> None:
        raise ValueError("data")


def test_a_protocol_that_fails_when_it_is_made(run: Run) -> None:
    """Such a connection is reset."""

    async def go() -> None:
        ours, peer = tcp_pair()
        protocol = Broken("made")
        loop = asyncio.get_running_loop()
        attach(loop, LoopTransport(loop, ours, protocol))
        await until(lambda: protocol.lost)
        assert protocol.lost == [ConnectionAborted]
        with pytest.raises(ConnectionResetError):
            await read_to_end(peer)
        peer.close()

    run(go())


def test_a_protocol_that_fails_on_data(run: Run, raised: list[dict[str, Any]]) -> None:
    """Such a connection ends, once; the loop's exception handler is told."""

    async def go() -> None:
        protocol, _, peer = await connected(Broken("data"))
        peer.send(b"x")
        await until(lambda: protocol.lost)
        await turns()
        assert protocol.lost == [ConnectionLost]
        assert [type(each["exception"]) for each in raised] == [ValueError]
        raised.clear()
        peer.close()

    run(go())


@pytest.mark.parametrize("how", ["loseConnection", "reset", "loseWriteConnection"])
def test_ended_when_it_is_made(run: Run, how: str) -> None:
    """A protocol may end the connection as it is made."""

    async def go() -> None:
        class Brief(Recorder):
            def connectionMade(self) -> None:
                getattr(self.transport, how)()

        protocol, _, peer = await connected(Brief())
        if how == "reset":
            with pytest.raises(ConnectionResetError):
                await read_to_end(peer)
        else:
            assert await read_to_end(peer) == b""
        peer.close()
        await until(lambda: protocol.lost)

    run(go())
