"""An upstream connection that has left HTTP."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.bodies import Producer
from tests.upstream.test_http1 import World, call
from twisted_mesh.errors import MeshError
from twisted_mesh.stream import Trailers
from twisted_mesh.upstream.http_tunnel import HttpTunnel

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"


class Ear:
    """Receives what the upstream sends."""

    def __init__(self, tunnel: HttpTunnel) -> None:
        self.heard: list[Any] = []
        tunnel.stream.attach(self)

    def body_data(self, data: bytes) -> None:
        self.heard.append(data)

    def body_ended(self, trailers: Trailers) -> None:
        self.heard.append("end")

    def body_failed(self, error: BaseException) -> None:
        self.heard.append(error)


def opened(first: bytes = b"") -> tuple[World, HttpTunnel]:
    world = World()
    world.send(call(upgrade="websocket"))
    world.says(SWITCH + first)
    assert world.reply.status == 101
    tunnel = world.reply.tunnel
    assert isinstance(tunnel, HttpTunnel)
    world.transport.clear()
    return world, tunnel


def test_bytes_both_ways() -> None:
    """What came with the 101 comes first; what is written goes out as it is."""
    world, tunnel = opened(b"early")
    assert (tunnel.first, tunnel.protocol) == (b"early", b"websocket")
    ear = Ear(tunnel)
    world.says(b"more")
    tunnel.write(b"ours")
    assert ear.heard == [b"early", b"more"]
    assert world.transport.value() == b"ours"
    assert world.pool.released == 0


def test_the_upstream_sends_no_more() -> None:
    """The tunnel goes on in the other direction."""
    world, tunnel = opened()
    ear = Ear(tunnel)
    world.connection.readConnectionLost()
    tunnel.write(b"still")
    assert ear.heard == ["end"] and world.transport.value() == b"still"


def test_it_is_lost() -> None:
    """A clean end is an end, a reset a failure; the pool hears of it once."""
    for reason in (ConnectionDone(), ConnectionLost()):
        world, tunnel = opened()
        ear = Ear(tunnel)
        world.connection.connectionLost(Failure(reason))
        [last] = ear.heard
        assert last == "end" if isinstance(reason, ConnectionDone) else isinstance(last, MeshError)
        assert world.pool.gone == 1


def test_it_is_given_up() -> None:
    world, tunnel = opened()
    tunnel.paced_by(Producer())
    tunnel.abort()
    assert world.transport.disconnecting
    assert world.pool.gone == 1
