"""After a 101: bytes both ways, half-close, backpressure, and ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone

from tests.adapters.http_client import Client
from twisted_mesh.call import Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

ASK = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Upstream:
    """The upstream's half of a tunnel; notes what it is told."""

    def __init__(self) -> None:
        self.protocol = b"websocket"
        self.first = b""
        self.stream = ByteStream(self)
        self.got = b""
        self.said: list[str] = []
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        self.got += data

    def end(self) -> None:
        self.said.append("end")

    def paced_by(self, producer: Any) -> None:
        self.producer = producer

    def close(self) -> None:
        self.said.append("close")

    def abort(self) -> None:
        self.said.append("abort")

    def drop(self) -> None:
        self.said.append("drop")

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")

    def stopProducing(self) -> None:
        self.said.append("stop")


def opened(early: bytes = b"", **options: Any) -> tuple[Client, Upstream]:
    client = Client(options=options)
    client.send(ASK + early)
    upstream = Upstream()
    tunnel: Any = upstream
    client.last.say(Reply(101, Headers(), tunnel=tunnel))
    assert client.take() == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    return client, upstream


def test_bytes_both_ways() -> None:
    """Also those that came with the request; both are counted."""
    client, upstream = opened(b"early")
    client.send(b"more")
    upstream.stream.write(b"theirs")
    assert upstream.got == b"earlymore" and client.take() == b"theirs"
    client.check_over()
    assert (client.last.call.bytes_in, client.last.call.bytes_out) == (9, 6)


def test_a_client_that_sends_no_more_still_hears() -> None:
    client, upstream = opened()
    client.half_close()
    assert upstream.said == ["end"]
    upstream.stream.write(b"bye")
    assert client.take() == b"bye"
    upstream.stream.end()
    client.pass_time(0.1)
    assert "close" in upstream.said and client.gone
    client.check_over()
    assert client.last.call.flags == ()


def test_an_upstream_that_sends_no_more_still_hears() -> None:
    client, upstream = opened()
    upstream.stream.end()
    assert client.transport.half_closed
    client.send(b"still")
    assert upstream.got == b"still"
    client.check_over()


def test_an_upstream_that_breaks() -> None:
    client, upstream = opened()
    upstream.stream.fail(MeshError(Kind.RESET, "gone"))
    assert client.transport.ended == "reset"
    client.check_over()
    assert client.last.call.flags[0] == "UR"


def test_a_client_that_goes() -> None:
    client, upstream = opened()
    client.vanish()
    assert "abort" in upstream.said
    client.check_over()
    assert client.last.call.flags == ("DC",)


def test_a_client_that_closes() -> None:
    client, upstream = opened()
    client.transport.ended = "closed"
    client._connection_lost(ConnectionDone())
    assert "abort" in upstream.said
    client.check_over()


def test_backpressure_both_ways() -> None:
    """Each side is read as fast as the other takes what it sends."""
    client, upstream = opened()
    client.transport.fill()
    upstream.stream.write(b"x")
    assert client.take() == b""
    client.transport.empty()
    assert client.take() == b"x"
    upstream.producer.pauseProducing()
    assert not client.transport.reading
    upstream.producer.resumeProducing()
    assert client.transport.reading
    client.check_over()


def test_a_tunnel_has_an_idle_time_of_its_own() -> None:
    client, upstream = opened(timeouts={"tunnel_idle": 2.0, "idle": 1.0, "stream_idle": 1.0})
    client.pass_time(1.5)
    client.send(b"alive")
    client.pass_time(1.5)
    assert client.open
    client.pass_time(1.0)
    assert not client.open and "abort" in upstream.said
    client.check_over()
    assert client.last.call.flags == ("SI",)


class Stuck(Upstream):
    """It takes nothing for now."""

    def paced_by(self, producer: Any) -> None:
        super().paced_by(producer)
        producer.pauseProducing()


def test_an_upstream_that_takes_nothing_at_first_keeps_the_client_waiting() -> None:
    """Or what the client sends would pile up here without a bound."""
    client = Client()
    client.send(ASK)
    upstream = Stuck()
    tunnel: Any = upstream
    client.last.say(Reply(101, Headers(), tunnel=tunnel))
    assert not client.transport.reading
    upstream.producer.resumeProducing()
    assert client.transport.reading
    client.check_over()


def test_a_client_that_sent_too_much_too_early_is_read_again() -> None:
    client, upstream = opened(b"x" * 70_000)
    assert len(upstream.got) == 70_000
    assert client.transport.reading
    client.check_over()


def test_an_upstream_that_sent_no_more_and_then_is_gone() -> None:
    """Nobody takes what the client still sends: it must not send it for ever."""
    client, upstream = opened()
    upstream.stream.write(b"bye")
    upstream.stream.end()
    assert client.open
    client.send(b"more")
    upstream.producer.stopProducing()
    assert client.transport.ended == "closed"
    assert client.heard == b"bye"
    client.pass_time()
    client.check_over()
    assert client.last.call.completed


def test_an_upstream_that_is_gone_before_a_slow_client_has_taken_all() -> None:
    client, upstream = opened()
    client.transport.fill()
    upstream.stream.write(b"the last words")
    upstream.producer.stopProducing()
    upstream.stream.end()
    assert client.open
    client.transport.empty()
    assert client.heard == b"the last words"
    assert client.transport.ended == "closed"
    client.check_over()


def test_a_tunnel_whose_client_went_before_it_opened_is_ended() -> None:
    client = Client()
    upstream = Upstream()

    async def stubborn(call: Any) -> Reply:
        try:
            await Parked[None]()
        except Cancelled:
            pass
        tunnel: Any = upstream
        return Reply(101, Headers(), tunnel=tunnel)

    client.adapter.chain = stubborn
    client.send(ASK)
    client.vanish()
    assert upstream.said == ["abort"]
    client.check_over()


def test_the_route_timeout_does_not_end_a_tunnel_and_max_duration_does() -> None:
    client = Client()
    client.send(ASK)
    client.last.call.timeout = 1.0
    client.last.call.max_duration = 5.0
    upstream = Upstream()
    tunnel: Any = upstream
    client.last.say(Reply(101, Headers(), tunnel=tunnel))
    for _ in range(4):
        client.pass_time(1.0)
        client.send(b"alive")
    assert client.open
    client.pass_time(1.6)
    assert client.transport.ended == "reset"
    client.check_over()
    assert client.last.call.flags == ("DT",)


def test_closing_everything_ends_tunnels() -> None:
    client, upstream = opened()
    client.adapter.drain()
    client.pass_time(3.0)
    assert client.open
    client.adapter.close_all()
    client.pass_time()
    assert client.transport.ended == "reset" and "abort" in upstream.said
    client.check_over()


def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    client = Client()
    client.send(ASK + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.last.call.upgrade == "websocket"
    client.last.say(b"no")
    assert client.last.call.resource == "/next"
    client.last.say(b"yes")
    assert client.heard.endswith(b"yes")
    client.check_over()
