"""One connection: how far it gets, and what is said where it stops."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.bus.conftest import settings_of
from tests.servers import Live, Server
from tests.support import TcpUpstream
from twisted_mesh.bus.dial import Dialer
from twisted_mesh.bus.errors import BusError
from twisted_mesh.model.address import Address


def dialled(live: Live, url: str, **changes: Any) -> Any:
    settings = settings_of(url, **changes)
    dialer = Dialer(settings, live.reactor)
    link = live.run(lambda: Deferred.fromCoroutine(dialer.dial(settings.url.addresses[0])))
    live.run(lambda: link.abort(BusError("down", "looked at")))
    return link


def test_what_the_server_is_is_known(live: Live, redis_servers: Callable[..., Server]) -> None:
    master, replica = redis_servers(), redis_servers()
    replica("REPLICAOF", "127.0.0.1", master.port)
    assert (dialled(live, master.url).mode, dialled(live, master.url).role) == ("standalone", "master")
    assert dialled(live, replica.url).role == "replica"


def test_an_old_server_that_does_not_know_the_question(live: Live, tcp_upstream: Callable[..., TcpUpstream]) -> None:
    def talk(client: Any) -> None:
        client.read_until(b"PING\r\n")
        client.send(b"+PONG\r\n")
        client.read_until(b"HELLO\r\n")
        client.send(b"-ERR unknown command `HELLO`\r\n")
        client.read_to_end()

    link = dialled(live, f"redis://{tcp_upstream(talk).address}")
    assert (link.mode, link.role) == ("", "")


@pytest.mark.parametrize(
    ("url", "heard", "text"),
    [
        ("redis://{}", b"PING\r\n", "no answer to PING within 0.1 s"),
        ("redis://:pw@{}", b"AUTH\r\n$2\r\npw\r\n", "no answer to AUTH within 0.1 s"),
        ("redis://me:pw@{}", b"AUTH\r\n$2\r\nme\r\n$2\r\npw\r\n", "no answer to AUTH within 0.1 s"),
        ("redis://{}/3", b"SELECT\r\n$1\r\n3\r\n", "no answer to SELECT within 0.1 s"),
    ],
)
def test_where_it_stopped_is_said(
    live: Live, tcp_upstream: Callable[..., TcpUpstream], url: str, heard: bytes, text: str
) -> None:
    got: list[bytes] = []
    server = tcp_upstream(lambda client: got.append(client.read_until(heard)) or client.read_to_end() and None)
    with pytest.raises(BusError) as caught:
        dialled(live, url.format(server.address), timeout=0.1)
    assert str(caught.value) == f"redis {server.address}: {text}"
    assert caught.value.kind == "timeout"
    assert len(got) == 1


def test_an_attempt_may_be_given_up(live: Live, redis_server: Server) -> None:
    redis_server.pause()
    dialer = Dialer(settings_of(redis_server.url), live.reactor)
    before = len(live.run(live.reactor.getDelayedCalls))

    def give_up() -> Any:
        attempt = Deferred.fromCoroutine(dialer.dial(Address("127.0.0.1", redis_server.port)))
        live.reactor.callLater(0.05, attempt.cancel)
        return attempt

    with pytest.raises(CancelledError):
        live.run(give_up)
    live.until(lambda: len(live.reactor.getDelayedCalls()) <= before)


def test_a_name_that_nobody_knows_is_said(live: Live) -> None:
    with pytest.raises(BusError, match=r"redis nobody\.invalid:6379: "):
        dialled(live, "redis://nobody.invalid", timeout=5.0)
