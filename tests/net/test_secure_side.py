"""A client's end of a TCP call that speaks TLS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.net.conftest import Run
from tests.net.support import reset, tcp_pair, turns, until
from tests.net.tls_support import Peer, client_side
from tests.tls_front import Authority
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.model import ListenerTls
from twisted_mesh.net.accept import Accepted
from twisted_mesh.net.certificates import serve
from twisted_mesh.net.handshakes import Handshakes
from twisted_mesh.net.secure_side import SecureSide
from twisted_mesh.net.side import OnDemand
from twisted_mesh.testing import Env


class Receiver:
    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.error: Any = None

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_ended(self, trailers: Any) -> None:
        self.ended = True

    def body_failed(self, error: BaseException) -> None:
        self.error = error


async def opened(authority: Authority) -> tuple[SecureSide, OnDemand, Peer]:
    """A side that is open, its stream, and its peer."""
    sides: list[SecureSide] = []
    tls = ListenerTls.model_validate({"certificates": str(authority.issue("localhost", ["localhost"]))})
    make = lambda accepted: sides.append(SecureSide(accepted, Kind.CLIENT_GONE, "the client"))  # noqa: E731
    handshakes = Handshakes("tcp", "db", Env(), make)
    handshakes.context = serve(tls).context
    ours, theirs = tcp_pair()
    handshakes.accepted(Accepted(asyncio.get_running_loop(), ours, ("192.0.2.1", 1)))
    peer = Peer(theirs, client_side(authority))
    await peer.handshake()
    await until(lambda: sides)
    stream = sides[0].body()
    sides[0].open_for(stream)
    return sides[0], stream, peer


def test_what_comes_waits_for_who_wants_it(run: Run, authority: Authority) -> None:
    async def go() -> None:
        side, stream, peer = await opened(authority)
        assert not side.whole
        with pytest.raises(RuntimeError):
            side.take()
        await peer.send(b"early")
        await until(lambda: stream.size)
        side.open()
        receiver = Receiver()
        stream.attach(receiver)
        assert receiver.data == b"early"
        side.write(b"answer")
        assert await peer.read(6) == b"answer"
        await peer.goodbye()
        await until(lambda: receiver.ended)
        side.write(b"more")
        side.end()
        assert await peer.read(100) == b"more"
        peer.close()
        await until(lambda: side.lost)
        assert not side.reset

    run(go())


def test_a_client_that_leaves_is_noticed_before_anybody_reads(run: Run, authority: Authority) -> None:
    async def go() -> None:
        side, stream, peer = await opened(authority)
        lost: list[Any] = []
        side.on_lost = lost.append
        reset(peer.sock)
        await until(lambda: lost == [side])
        receiver = Receiver()
        stream.attach(receiver)
        assert side.reset and isinstance(receiver.error, MeshError)
        side.forget()

    run(go())


def test_what_waits_is_bounded(run: Run, authority: Authority) -> None:
    async def go() -> None:
        side, stream, peer = await opened(authority)
        sending = asyncio.ensure_future(peer.send(b"x" * (16 << 20)))
        await turns()
        held = -1
        while held != stream.size:
            held = stream.size
            await turns()
        assert held < 2 << 20 and not sending.done()
        sending.cancel()
        side.abort()
        peer.close()
        await until(lambda: side.lost)

    run(go())
