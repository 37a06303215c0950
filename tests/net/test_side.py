"""One end of a TCP call."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.bodies import Producer, Receiver
from tests.net.conftest import Run
from tests.net.support import read, read_to_end, reset, tcp_pair, turns, until
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.net import side as module
from twisted_mesh.net.side import Side


def make() -> tuple[Side, socket.socket]:
    """A side, and the socket of its peer."""
    ours, theirs = tcp_pair()
    return Side(asyncio.get_running_loop(), ours, Kind.CLIENT_GONE, "the client"), theirs


def test_unread(run: Run) -> None:
    """Nothing is read before somebody asks, and the socket can be taken whole."""

    async def go() -> None:
        side, peer = make()
        peer.send(b"early")
        await turns()
        assert side.whole and side.stream is None and "unread" in repr(side)
        watched = side.socket
        sock = side.take()
        assert sock is watched
        assert await read(sock, 5) == b"early"
        assert not side.whole and "closed" in repr(side)
        with pytest.raises(RuntimeError, match="cannot be taken"):
            side.take()
        with pytest.raises(RuntimeError, match="no socket"):
            _ = side.socket
        side.open()
        side.close()
        side.abort()
        assert not side.opened
        sock.close()
        peer.close()

    run(go())


def test_opened_by_a_receiver(run: Run) -> None:
    """Attaching to the stream has the loop read; FIN ends the stream, and writing goes on."""

    async def go() -> None:
        side, peer = make()
        told: list[str] = []
        side.on_opened = lambda side: told.append("opened")
        side.on_made = lambda side: told.append("made")
        side.on_lost = lambda side: told.append("lost")
        peer.send(b"early")
        receiver = Receiver()
        stream = side.body()
        stream.attach(receiver)
        stream.attach(receiver)
        assert told == ["opened"] and not side.whole
        await until(lambda: receiver.data == b"early")
        assert told == ["opened", "made"]
        peer.send(b" late")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: receiver.ended)
        assert receiver.data == b"early late"
        side.write(b"answer")
        side.end()
        assert await read_to_end(peer) == b"answer"
        await until(lambda: side.lost)
        assert told == ["opened", "made", "lost"] and not side.reset
        side.end()
        side.close()
        side.finish()
        side.abort()
        peer.close()

    run(go())


def test_reset_by_the_peer(run: Run) -> None:
    """A RST cuts the stream with the error that the side was made with."""

    async def go() -> None:
        side, peer = make()
        receiver = Receiver()
        side.body().attach(receiver)
        await until(lambda: side.transport is not None)
        reset(peer)
        await until(lambda: side.lost)
        error = receiver.error
        assert side.reset and isinstance(error, MeshError)
        assert (error.kind, error.origin, error.retryable) == (Kind.CLIENT_GONE, Origin.CLIENT, False)
        assert error.detail == "the client reset the connection"

    run(go())


@pytest.mark.parametrize("when", ["unread", "opened", "made"])
def test_abort(run: Run, when: str) -> None:
    """The peer sees a RST, whether the socket was being read or not."""

    async def go() -> None:
        side, peer = make()
        told: list[Side] = []
        side.on_aborted = told.append
        if when != "unread":
            side.open()
        if when == "made":
            await until(lambda: side.transport is not None)
        side.abort()
        assert told == [side]
        with pytest.raises(ConnectionResetError):
            await read_to_end(peer)
        if when != "unread":
            await until(lambda: side.lost)
        peer.close()

    run(go())


@pytest.mark.parametrize("when", ["unread", "made"])
@pytest.mark.parametrize("how", ["close", "finish"])
def test_orderly_ends(run: Run, when: str, how: str) -> None:
    """close() and finish() show the peer a FIN."""

    async def go() -> None:
        side, peer = make()
        if when == "made" or how == "finish":
            side.open()
            await until(lambda: side.transport is not None)
            side.write(b"bye")
        getattr(side, how)()
        assert await read_to_end(peer) in (b"bye", b"")
        peer.close()
        await turns()

    run(go())


def test_opened_for_nobody(run: Run) -> None:
    """What comes to a side that is only written to waits, bounded; so does what came before."""

    async def go() -> None:
        side, peer = make()
        peer.send(b"x" * 1000)
        side.open()
        await until(lambda: side.transport is not None)
        await asyncio.get_running_loop().sock_sendall(peer, b"x" * 100_000)
        await until(lambda: side.stream is not None and side.stream.size >= 64 * 1024)
        side.write(b"bye")
        side.finish()
        assert await read_to_end(peer) == b"bye"
        peer.close()
        await until(lambda: side.lost)

    run(go())


def test_forget(run: Run) -> None:
    """A side that is done with leaves no cycle behind."""

    async def go() -> None:
        side, peer = make()
        told: list[Side] = []
        side.on_lost = side.on_made = side.on_opened = side.on_aborted = told.append
        side.forget()
        side.open()
        await until(lambda: side.transport is not None)
        side.abort()
        await until(lambda: side.lost)
        assert told == []
        peer.close()

    run(go())


def test_cancelled(run: Run) -> None:
    """A receiver that wants no more ends the connection."""

    async def go() -> None:
        side, peer = make()
        stream = side.body()
        stream.attach(Receiver())
        await until(lambda: side.transport is not None)
        stream.cancel()
        with pytest.raises(ConnectionResetError):
            await read_to_end(peer)
        await until(lambda: side.lost)
        peer.close()

    run(go())


def test_backpressure(run: Run) -> None:
    """A receiver that pauses stops the reading, also before the connection is made."""

    async def go() -> None:
        side, peer = make()
        receiver = Receiver()
        stream = side.body()
        stream.attach(receiver)
        stream.pause()
        peer.send(b"waits")
        await until(lambda: side.transport is not None)
        await turns()
        assert receiver.data == b"" and stream.size == 0
        stream.resume()
        await until(lambda: receiver.data == b"waits")
        stream.pause()
        peer.send(b" again")
        await turns()
        assert stream.size == 5
        stream.resume()
        await until(lambda: receiver.data == b"waits again")
        producer = Producer()
        side.transport.registerProducer(producer, True)
        side.abort()
        await until(lambda: side.lost)
        assert producer.told == []
        peer.close()

    run(go())


def test_a_filter_that_fails_on_the_bytes(run: Run) -> None:
    """It costs the connection, whether it is a receiver or changes the bytes."""

    class Fails(Receiver):
        def body_data(self, data: bytes) -> None:
            raise ValueError("no")

    def fail(data: bytes) -> bytes:
        raise ValueError("no")

    async def go() -> None:
        for own in (True, False):
            side, peer = make()
            if own:
                receiver = Fails()
                side.body().attach(receiver)
            else:
                receiver = Receiver()
                side.body().map(fail).attach(receiver)
            peer.send(b"x")
            await until(lambda side=side: side.lost)
            assert isinstance(receiver.error, ValueError)
            with pytest.raises(ConnectionResetError):
                await read_to_end(peer)
            peer.close()

    run(go())


def test_a_socket_that_the_loop_refuses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is lost at once."""

    def refuse(loop: object, transport: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(module, "attach", refuse)

    async def go() -> None:
        side, peer = make()
        receiver = Receiver()
        side.body().attach(receiver)
        assert side.lost and side.reset and isinstance(receiver.error, MeshError)
        peer.close()

    run(go())
