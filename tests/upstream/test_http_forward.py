"""The innermost layer of an HTTP chain, with connections that are told what to say."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from twisted.internet.testing import StringTransport

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.interfaces import Proceed
from twisted_mesh.stream import BUFFER_LIMIT, ByteStream
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.http_forward import HttpForward


class World:
    """A cluster of one endpoint, and one call to it."""

    def __init__(self, *filters: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.cluster = Cluster("api", cluster_config("10.0.0.1:80"), self.env, self.connector)  # type: ignore[arg-type]
        self.forward = HttpForward(self.cluster, self.connector, self.env)  # type: ignore[arg-type]
        self.outcomes: list[Any] = []
        self._proceed = compose(filters, self.forward)
        self.call = a_call()
        self.call.target = b"/"

    def run(self) -> Driver:
        driver = Driver(self.call, self._done)
        driver.start(self._proceed)
        return driver

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.outcomes.append(error or reply)

    @property
    def connection(self) -> Any:
        return self.connector.protocols[-1]

    def says(self, data: bytes) -> None:
        self.connection.dataReceived(data)

    @property
    def closed(self) -> bool:
        return bool(self.connection.transport.disconnecting)

    @property
    def active(self) -> int:
        return self.cluster.endpoints[0].active

    def complete(self) -> None:
        self.call.complete(self.env.now(), self._completion_failed)

    def _completion_failed(self, completion: Any) -> None:
        raise  # noqa: PLE0704  # called inside the except


async def drops(call: Call, proceed: Proceed) -> Reply:
    await proceed(call)
    return Reply(204)


STREAMED = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin"


def test_a_reply_that_a_filter_dropped_keeps_no_connection() -> None:
    world = World(drops)
    world.run()
    world.says(STREAMED)
    [reply] = world.outcomes
    assert reply.status == 204
    assert world.active == 1 and not world.closed
    world.complete()
    assert world.closed
    assert world.active == 0


def test_a_reply_that_was_read_keeps_its_connection_when_the_call_ends() -> None:
    world = World()
    world.run()
    world.says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    world.says(b"lo")
    world.complete()
    assert not world.closed
    assert world.active == 0
    assert len(world.cluster.endpoints[0].pools["http"].idle) == 1  # type: ignore[attr-defined]


class Full:
    """A receiver that has enough after the first piece."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        stream.attach(self)

    def body_data(self, data: bytes) -> None:
        self.stream.pause()

    def body_ended(self, trailers: Any) -> None:
        """It never gets here."""

    body_failed = body_ended


def test_a_reader_that_pauses_with_the_last_piece_does_not_pause_the_next_reply() -> None:
    world = World()
    world.run()
    world.says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    Full(world.outcomes[0].body)
    assert world.connection.transport.producerState == "paused"
    world.outcomes[0].body.resume()
    world.says(b"lo")
    assert world.connection.transport.producerState == "producing"


def test_a_long_chunked_reply_in_one_read_does_not_pause_the_next_reply() -> None:
    world = World()
    world.run()
    body = b"x" * BUFFER_LIMIT
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    world.says(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert world.outcomes[0].body == body
    assert world.connection.transport.producerState == "producing"


def test_a_request_body_waits_for_a_connection_that_is_still_full() -> None:
    """As it is behind a long request that was answered without being read."""
    world = World()
    world.run()
    world.says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    transport = world.connection.transport
    register = transport.registerProducer

    def full(producer: Any, streaming: bool) -> None:
        register(producer, streaming)
        producer.pauseProducing()

    transport.registerProducer = full
    source = StringTransport()
    world.call = a_call(method="POST")
    world.call.target = b"/"
    world.call.body = body = ByteStream(source)
    world.run()
    body.write(b"x" * BUFFER_LIMIT)
    assert source.producerState == "paused"
    transport.producer.resumeProducing()
    assert source.producerState == "producing"


def test_a_body_that_ended_before_its_task_woke_is_not_active_for_ever() -> None:
    """A filter may run the chain in a task, which wakes one turn of the loop after its reply has come."""
    world = World()
    coroutine = world.forward(world.call)
    parked = coroutine.send(None)
    parked.resume = lambda: None
    world.says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    world.says(b"lo")
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert world.active == 0
    world.complete()
    assert world.active == 0


def test_a_tunnel_that_a_filter_dropped_is_ended() -> None:
    world = World(drops)
    world.call.upgrade = "websocket"
    world.run()
    world.says(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert world.outcomes[0].status == 204
    assert not world.closed
    world.complete()
    assert world.closed
    assert world.active == 0


def test_a_tunnel_that_was_taken_is_left_to_whoever_took_it() -> None:
    world = World()
    world.call.upgrade = "websocket"
    world.run()
    world.says(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    world.outcomes[0].tunnel.paced_by(world.connection.transport)
    world.complete()
    assert not world.closed


def test_a_call_that_is_cancelled_takes_its_connection_with_it() -> None:
    world = World()
    driver = world.run()
    driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert [type(each) for each in world.outcomes] == [Cancelled]
    assert world.closed
    assert world.active == 0
