"""From connections that were accepted to clients of TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, Optional

import pytest

from tests.net.conftest import Run
from tests.net.support import Recorder, reset, tcp_pair, turns, until
from tests.net.tls_support import Peer, client_side
from tests.tls_front import Authority
from twisted_mesh.families import Families
from twisted_mesh.model import ListenerTls
from twisted_mesh.net.accept import Accepted
from twisted_mesh.net.certificates import serve
from twisted_mesh.net.handshakes import LOG_EVERY, Handshakes, SecureAccepted, explained
from twisted_mesh.testing import Env


class Door:
    """The handshakes of a listener, and whom they let in."""

    def __init__(self, authority: Authority, **tls: Any) -> None:
        self.env = Env()
        self.welcomed: list[SecureAccepted] = []
        self.protocols: list[Recorder] = []
        self.handshakes = Handshakes("tcp", "db", self.env, self.welcome)
        path = str(authority.issue("localhost", ["localhost"]))
        self.handshakes.context = serve(ListenerTls.model_validate({"certificates": path, **tls})).context

    def welcome(self, accepted: SecureAccepted) -> None:
        self.welcomed.append(accepted)
        self.protocols.append(Recorder())
        accepted.adopt(self.protocols[-1])

    def knock(self) -> socket.socket:
        """Connect; returns the client's socket."""
        ours, theirs = tcp_pair()
        self.handshakes.accepted(Accepted(asyncio.get_running_loop(), ours, ("192.0.2.1", 5000)))
        return theirs

    async def enter(self, client: ssl.SSLContext) -> Peer:
        peer = Peer(self.knock(), client)
        count = len(self.welcomed)
        await peer.handshake()
        await until(lambda: len(self.welcomed) > count)
        return peer

    def failures(self, why: str) -> float:
        return Families(self.env.metrics).handshake_failures.labels("tcp", "db", why).value

    def done(self, version: str) -> float:
        return Families(self.env.metrics).handshakes.labels("tcp", "db", version).value

    async def end(self) -> None:
        for each in self.welcomed:
            each.transport.reset()
        await turns()


def test_who_comes_through(run: Run, authority: Authority) -> None:
    """Whoever takes the connection hears who the client is, and gets its bytes."""

    async def go() -> None:
        door = Door(authority, client_ca=str(authority.ca), client_certificate="optional")
        own = client_side(authority, authority.issue("app", ["spiffe://shop/app"]))
        peer = await door.enter(own)
        (accepted,) = door.welcomed
        assert (accepted.peer, accepted.peer_host) == ("192.0.2.1:5000", "192.0.2.1")
        assert accepted.identity == "spiffe://shop/app"
        assert len(door.handshakes) == 0 and door.done("TLSv1.3") == 1
        with pytest.raises(TypeError):
            accepted.detach()
        await peer.send(b"hello")
        await until(lambda: door.protocols[0].data == b"hello")
        other = await door.enter(client_side(authority))
        assert door.welcomed[1].identity is None
        await door.end()
        peer.close()
        other.close()

    run(go())


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("nobody", "no_certificate"),
        ("foreign", "bad_certificate"),
        ("old", "version"),
        ("other cipher", "cipher"),
        ("wary", "refused"),
        ("http", "not_tls"),
        ("redis", "not_tls"),
        ("reset", "closed"),
        ("end", "closed"),
    ],
)
def test_who_does_not(
    run: Run, authority: Authority, tmp_path_factory: pytest.TempPathFactory, kind: str, why: str
) -> None:
    """It is counted and logged with the reason."""

    async def go() -> None:
        door = Door(authority, client_ca=str(authority.ca), min_version="1.2" if kind == "other cipher" else "1.3")
        sock = door.knock()
        assert len(door.handshakes) == 1
        loop = asyncio.get_running_loop()
        if kind in ("reset", "end"):
            await turns()
            reset(sock) if kind == "reset" else sock.close()
        elif kind in ("http", "redis"):
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n" if kind == "http" else b"*1\r\n$4\r\nPING\r\n")
        else:
            other = Authority(tmp_path_factory.mktemp("other"), "other")
            client = client_side(
                other if kind == "wary" else authority, other.issue("app") if kind == "foreign" else None
            )
            if kind in ("old", "other cipher"):
                client.maximum_version = ssl.TLSVersion.TLSv1_2
                client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
            peer = Peer(sock, client)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await peer.handshake()
                await peer.read(1)
            if kind == "wary":
                # Its alert.
                await peer.flush()
        await until(lambda: door.failures(why))
        assert not door.welcomed and len(door.handshakes) == 0
        (event,) = door.env.events
        assert event["peer"] == "192.0.2.1:5000" and event["said"]
        sock.close()
        await turns()

    run(go())


def test_one_that_takes_too_long(run: Run, authority: Authority) -> None:
    async def go() -> None:
        door = Door(authority)
        door.handshakes.timeout = 0.01
        sock = door.knock()
        await until(lambda: door.failures("timeout"))
        assert len(door.handshakes) == 0
        sock.close()
        await turns()

    run(go())


def test_all_are_ended(run: Run, authority: Authority) -> None:
    async def go() -> None:
        door = Door(authority)
        socks = [door.knock() for _ in range(3)]
        await turns()
        door.handshakes.close_all()
        await until(lambda: len(door.handshakes) == 0)
        assert door.failures("closed") == 3
        for each in socks:
            each.close()

    run(go())


def test_the_log_is_bounded(run: Run, authority: Authority) -> None:
    """One line for a reason in ten seconds; the next says how many there were."""

    async def go() -> None:
        door = Door(authority)

        async def fail() -> None:
            before = door.failures("closed")
            reset(door.knock())
            await until(lambda: door.failures("closed") > before)

        for _ in range(5):
            await fail()
        assert len(door.env.events) == 1
        door.env.time.advance(LOG_EVERY)
        await fail()
        assert [each["more"] for each in door.env.events] == ["", " (and 4 more since the last such line)"]
        await turns()

    run(go())


def test_who_cannot_be_taken_is_reset(run: Run, authority: Authority) -> None:
    """Whatever goes wrong behind the handshake is logged, and the client does not wait for ever."""

    async def go() -> None:
        door = Door(authority)

        def welcome(accepted: SecureAccepted) -> None:
            door.welcomed.append(accepted)
            raise RuntimeError("no")

        door.handshakes._welcome = welcome
        peer = await door.enter(client_side(authority))
        with pytest.raises((ConnectionError, EOFError)):
            await peer.read(1)
        assert door.env.events[-1]["log_failure"].type is RuntimeError
        peer.close()

    run(go())


def test_a_session_does_not_outlive_a_certificate(run: Run, authority: Authority, monkeypatch: Any) -> None:
    """A client that goes on with a session, and whose certificate has ended since, is not let in."""

    async def go() -> None:
        door = Door(authority, client_ca=str(authority.ca))
        client = client_side(authority, authority.issue("app"))
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        first = await door.enter(client)
        session = first.tls.session
        assert session is not None

        async def again() -> Optional[Peer]:
            peer = Peer(door.knock(), client)
            peer.tls.session = session
            await peer.handshake()
            assert peer.tls.session_reused
            return peer

        second = await again()
        await until(lambda: len(door.welcomed) == 2)
        assert door.welcomed[1].identity == "app"
        monkeypatch.setattr(door.env, "wall", lambda: ssl.cert_time_to_seconds("Jan  1 00:00:01 2100 GMT"))
        third = await again()
        await until(lambda: door.failures("bad_certificate"))
        assert len(door.welcomed) == 2
        await door.end()
        for each in (first, second, third):
            assert each is not None
            each.close()

    run(go())


def test_reasons_nobody_knows() -> None:
    assert explained(ValueError("odd")) == ("other", "odd")
