"""The innermost layer of an HTTP chain, with connections that are told what to say."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Optional

import pytest
from twisted.internet.testing import StringTransport

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from tests.upstream.server import Ear
from tests.upstream.server import World as Served
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import FLAGS, Cancelled, Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Proceed
from twisted_mesh.policy.outcome import outcome
from twisted_mesh.stream import BUFFER_LIMIT, REPLAY_LIMIT, ByteStream
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


# --- a server in memory (see `tests.upstream.server`)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def warmed(**pool: Any) -> Served:
    """A world with one kept connection."""
    world = Served(**pool)
    world.send()
    world.link.say(OK)
    world.link.take()
    return world


def replayable(*pieces: bytes) -> ByteStream:
    """A request body that has come so far."""
    body = ByteStream(replay=True)
    for each in pieces:
        body.write(each)
    return body


@pytest.mark.parametrize("operation", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_request_that_met_a_closed_connection_is_sent_again(operation: str, end: str) -> None:
    """Once, on a new connection, byte for byte; nobody hears of it, and it is no failure of the endpoint."""
    world = warmed()
    sent = world.send(operation, b"" if operation == "GET" else b"body")
    asked = world.link.take()
    assert asked.startswith(operation.encode())
    getattr(world.link, end)()
    assert len(world.server.links) == 2
    assert world.link.take() == asked
    world.link.say(OK)
    assert sent.reply.body == b"ok"
    assert (world.endpoint.failures, world.endpoint.successes, sent.call.attempts) == (0, 2, 1)
    assert sent.call.flags == ()
    world.check_over()


def test_a_request_is_sent_again_once() -> None:
    """A new connection that closes is an answer, if not a good one."""
    world = warmed()
    sent = world.send("POST", b"body")
    world.link.close()
    world.link.close()
    assert sent.error.kind is Kind.CLOSED
    assert not sent.error.retryable
    assert world.endpoint.failures == 1
    world.check_over()


def test_a_streamed_request_is_sent_again_from_its_beginning() -> None:
    """Also while it is still coming in."""
    world = warmed()
    body = replayable(b"one", b"two")
    sent = world.send("POST", body)
    body.write(b"three")
    world.link.close()
    body.write(b"four")
    body.end([(b"X-T", b"t")])
    wire = world.link.take().partition(b"\r\n\r\n")[2]
    assert wire == b"b\r\nonetwothree\r\n4\r\nfour\r\n0\r\nX-T: t\r\n\r\n"
    world.link.say(OK)
    assert sent.reply.status == 200
    world.check_over()


@pytest.mark.parametrize(
    ("left", "outcome"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig", b"big"),
        (b"", Kind.RESET),
        (b"HTTP/1.1 413 Too", Kind.RESET),
        (b"rubbish", Kind.BAD_REPLY),
    ],
)
def test_what_was_answered_before_a_reset_that_cut_the_request(left: bytes, outcome: object) -> None:
    """The loop, which failed to write, has not read it."""
    world = Served()
    body = ByteStream()
    sent = world.send("POST", body)
    body.write(b"x")
    link: Any = world.link
    link.left_behind = lambda: left
    link.reset()
    if isinstance(outcome, bytes):
        assert sent.reply.body == outcome
    else:
        assert sent.error.kind is outcome and not sent.error.retryable
    body.cancel()
    world.check_over()


def test_a_part_of_an_answer_before_a_reset_that_cut_the_request() -> None:
    world = Served()
    body = ByteStream()
    sent = world.send("POST", body)
    link: Any = world.link
    link.left_behind = lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"
    link.reset()
    reply = sent.reply.body
    assert isinstance(reply, ByteStream) and isinstance(reply.error, MeshError)
    assert reply.size == 4 and reply.error.kind is Kind.RESET
    body.cancel()
    world.check_over()


@pytest.mark.parametrize("body", [replayable(b"x" * REPLAY_LIMIT, b"x"), ByteStream()], ids=["outgrown", "not kept"])
def test_a_streamed_request_that_is_not_kept_is_not_sent_again(body: ByteStream) -> None:
    world = warmed()
    sent = world.send("PUT", body)
    body.write(b"x")
    world.link.close()
    assert (sent.error.kind, sent.error.retryable) == (Kind.CLOSED, False)
    assert len(world.server.links) == 1
    world.check_over()


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-3]])
def test_nothing_is_sent_again_after_the_first_byte_of_a_reply(first: bytes) -> None:
    world = warmed()
    sent = world.send("GET")
    world.link.say(first)
    world.link.reset()
    assert (sent.error.kind, sent.error.retryable) == (Kind.RESET, False)
    assert len(world.server.links) == 1
    world.check_over()


def test_a_connection_that_is_closing_when_it_is_lent() -> None:
    """Its FIN has come, and nobody has heard of it yet."""
    world = warmed()
    kept = world.link
    kept.loseConnection()
    sent = world.send("POST", b"body")
    world.advance()
    assert world.link is not kept
    world.link.say(OK)
    assert sent.reply.status == 200
    world.check_over()


def test_sending_again_may_fail_to_connect() -> None:
    world = warmed()
    sent = world.send("POST", b"body")
    world.server.answer = "refuse"
    world.link.close()
    assert (sent.error.kind, sent.error.retryable) == (Kind.CONNECT_FAILED, True)
    world.check_over()


def test_cancelled_while_it_is_sent_again() -> None:
    world = warmed(max_connections=1)
    world.server.answer = "wait"
    sent = world.send("POST", b"body")
    world.link.close()
    assert sent.waiting and len(world.server.waiting) == 1
    sent.driver.cancel(Cancelled(Kind.CLIENT_GONE))
    world.server.let()
    assert len(world.server.links) == 1
    world.check_over()


class Judge:
    """Hears what is said of an endpoint."""

    def __init__(self) -> None:
        self.kinds: list[Optional[Kind]] = []

    def ended(self, call: Call, status: int, kind: Optional[Kind], seconds: float, headers: Any) -> None:
        self.kinds.append(kind)


def test_who_found_no_connection_free_says_nothing_of_the_endpoint() -> None:
    """Whether the queue was full, the wait was over, or the route's time was."""
    world = Served(max_connections=1, max_pending=2, pending_timeout=1.0)
    world.endpoint.conduct = judge = Judge()
    first = world.send()
    late, later, refused = world.send(), world.send(), world.send()
    assert refused.error.kind is Kind.OVERFLOW
    late.driver.cancel(Cancelled(Kind.TIMEOUT))
    world.advance(1.0)
    assert later.error.kind is Kind.OVERFLOW
    assert judge.kinds and not [each for each in judge.kinds if outcome(0, each).bad]
    # Who has a connection and gets no answer does.
    first.driver.cancel(Cancelled(Kind.TIMEOUT))
    assert judge.kinds[-1] is Kind.TIMEOUT
    world.check_over()


def test_a_burst_that_meets_a_restarted_server_loses_nothing() -> None:
    world = Served(max_connections=8)
    for _ in range(8):
        world.send()
    for each in world.server.links:
        each.say(OK)
    sent = [world.send("POST", b"%d" % number) for number in range(20)]
    for each in world.server.links[:8]:
        each.close()
    answered = 0
    while any(each.waiting for each in sent):
        for each in world.server.links[8:]:
            if each.take():
                each.say(OK)
                answered += 1
    assert answered == 20
    assert all(each.reply.status == 200 for each in sent)
    assert world.endpoint.failures == 0
    world.check_over()


@pytest.mark.parametrize(("operation", "retryable"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_whether_a_lost_request_may_be_tried_again(operation: str, retryable: bool) -> None:
    """On a connection of its own only what may be done twice."""
    world = Served()
    sent = world.send(operation, b"x")
    world.link.reset()
    assert (sent.error.kind, sent.error.retryable) == (Kind.RESET, retryable)
    assert sent.error.origin is Origin.UPSTREAM
    assert "10.0.0.1:80 reset the connection before any byte of an answer" in sent.error.detail
    world.check_over()


# --- replies


def test_an_endpoint_is_busy_until_the_body_has_ended() -> None:
    world = Served()
    sent = world.send()
    world.link.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    ear = Ear(sent.body)
    world.link.say(b"3\r\none\r\n", b"3\r\ntwo\r\n")
    assert world.endpoint.active == 1
    world.link.say(b"0\r\nX-T: t\r\n\r\n")
    assert world.endpoint.active == 0
    assert (ear.heard, ear.told) == (b"onetwo", [[(b"X-T", b"t")]])
    assert len(world.pool.idle) == 1
    world.check_over()


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"Content-Length: 9", Kind.RESET), (b"Transfer-Encoding: chunked", Kind.RESET)],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_reply_that_is_cut_looks_cut(head: bytes, kind: Kind, end: str) -> None:
    world = Served()
    sent = world.send()
    world.link.say(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", b"3\r\none\r\n")
    ear = Ear(sent.body)
    getattr(world.link, end)()
    [error] = ear.told
    assert isinstance(error, MeshError) and error.kind is kind
    assert (world.endpoint.active, world.pool.open) == (0, 0)
    world.check_over()


def test_broken_chunks_cut_a_reply_and_close_its_connection() -> None:
    world = Served()
    sent = world.send()
    world.link.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")
    ear = Ear(sent.body)
    world.link.say(b"zz\r\n")
    [error] = ear.told
    assert isinstance(error, MeshError) and error.kind is Kind.BAD_REPLY
    assert world.link.ended == "reset"
    assert world.endpoint.active == 0
    world.check_over()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_a_malformed_reply_is_the_upstreams_fault(answer: bytes) -> None:
    world = Served()
    sent = world.send()
    world.link.say(answer)
    assert (sent.error.kind, sent.error.origin, sent.error.retryable) == (Kind.BAD_REPLY, Origin.UPSTREAM, False)
    assert world.link.ended == "reset"
    assert (world.endpoint.failures, world.pool.open) == (1, 0)
    world.check_over()


def test_a_reply_that_comes_before_its_request_is_out() -> None:
    """It is passed on; the connection is not used again, and what is left of the request is not sent."""
    world = Served()
    body = replayable(b"one")
    sent = world.send("POST", body)
    world.link.say(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
    assert sent.reply.status == 413
    assert world.link.ended == "reset"
    before = world.link.value()
    body.write(b"two")
    assert world.link.value() == before
    world.check_over()


def test_a_streamed_reply_to_a_request_that_still_comes() -> None:
    """Both flow at once."""
    world = Served()
    body = ByteStream()
    sent = world.send("POST", body)
    body.write(b"one")
    world.link.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")
    ear = Ear(sent.body)
    body.write(b"two")
    world.link.say(b"1\r\nb\r\n")
    body.end()
    world.link.say(b"0\r\n\r\n")
    assert world.link.take().endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert (ear.heard, ear.told) == (b"ab", [[]])
    assert len(world.pool.idle) == 1
    world.check_over()


def test_a_request_that_is_cut_looks_cut_to_the_endpoint() -> None:
    """And it is the client's fault, not the endpoint's."""
    world = Served()
    body = ByteStream()
    sent = world.send("POST", body)
    body.write(b"half")
    body.fail(MeshError(Kind.CLIENT_GONE, origin=Origin.CLIENT))
    assert sent.error.kind is Kind.CLIENT_GONE
    assert world.link.ended == "reset"
    assert not world.link.value().endswith(b"0\r\n\r\n")
    assert world.endpoint.failures == 0
    world.check_over()


def test_backpressure_of_the_endpoint_reaches_the_client() -> None:
    world = Served()
    source = StringTransport()
    body = ByteStream(source)
    world.send("POST", body)
    world.link.producer.pauseProducing()
    body.write(b"x" * 10)
    assert source.producerState == "paused"
    world.link.producer.resumeProducing()
    assert source.producerState == "producing"
    body.end()
    assert world.link.value().endswith(b"a\r\nxxxxxxxxxx\r\n0\r\n\r\n")
    world.link.say(OK)
    world.check_over()


def test_backpressure_of_the_client_reaches_the_endpoint() -> None:
    world = Served()
    sent = world.send()
    world.link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    ear = Ear(sent.body)
    sent.body.pause()
    assert not world.link.reading
    sent.body.resume()
    world.link.say(b"0123456789")
    assert ear.told == [[]]
    world.check_over()


def test_a_body_without_content_keeps_its_trailers() -> None:
    """However the request came, whole or in pieces."""
    world = Served()
    world.send("POST", b"", trailers=[(b"X-T", b"t")])
    wire = b"transfer-encoding: chunked\r\n\r\n0\r\nX-T: t\r\n\r\n"
    assert world.link.take().endswith(wire)
    world.link.say(OK)
    body = ByteStream()
    world.send("POST", body)
    body.end([(b"X-T", b"t")])
    assert world.link.take().endswith(wire)
    world.link.say(OK)
    world.check_over()


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"x" * 10, False),
        (b"x" * 11, True),
        (ByteStream(length=10), False),
        (ByteStream(length=11), True),
        (replayable(b"x" * 10), False),
        (replayable(b"x" * 11), True),
    ],
)
def test_a_body_over_the_limit_goes_nowhere(body: Any, refused: bool) -> None:
    world = Served()
    sent = world.send("POST", body, body_limit=10)
    assert bool(world.server.links) is not refused
    if refused:
        assert (sent.error.kind, sent.error.origin) == (Kind.TOO_LARGE, Origin.CLIENT)
    else:
        world.link.reset()
        world.check_over()


def test_statuses_of_500_and_more_are_failures_of_the_endpoint() -> None:
    world = Served()
    for status in (b"200", b"404", b"500", b"503"):
        world.send()
        world.link.say(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n")
    assert (world.endpoint.successes, world.endpoint.failures) == (2, 2)
    assert world.env.count("upstream_calls_total", "http", "api", "5xx", "-") == 2
    world.check_over()


def test_a_request_without_a_host_gets_the_endpoints() -> None:
    """HTTP/1.0 may have none, and 1.1 must not."""
    world = Served()
    world.send(authority="", headers=Headers(), plain=False)
    assert world.link.take() == b"GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n"
    world.link.say(OK)
    world.check_over()


def test_a_call_whose_caller_waits_no_longer_is_not_sent_and_says_nothing_of_the_endpoint() -> None:
    """Also where the time went by while connecting; the connection is kept."""
    world = Served()
    now = world.env.now()
    sent = world.send(plain=False, started=now - 1.0, deadline=now)
    assert (sent.error.kind, sent.error.origin) == (Kind.DEADLINE, Origin.CLIENT)
    assert world.link.take() == b""
    assert (world.endpoint.failures, len(world.pool.idle)) == (0, 1)
    world.check_over()


@pytest.mark.parametrize(("kind", "failures"), [(Kind.TRY_TIMEOUT, 1), (Kind.TIMEOUT, 1), (Kind.DEADLINE, 0)])
def test_a_try_that_was_cut_counts_with_its_flag(kind: Kind, failures: int) -> None:
    """And against the endpoint where it was its time that ran out, and not its caller's."""
    world = Served()
    sent = world.send()
    sent.driver.cancel(Cancelled(kind))
    assert world.endpoint.failures == failures
    assert world.env.count("upstream_calls_total", "http", "api", "-", FLAGS[kind]) == 1
    world.check_over()


# --- behind a filter that runs the rest of its chain in an asyncio task


def test_in_a_task_a_reply_that_ends_before_the_task_wakes_is_not_counted_for_ever() -> None:
    """A task wakes a turn of the loop after its reply has come, and its body may have ended by then."""

    async def run() -> None:
        world = Served()
        call = world.send().call
        world.link.say(OK)
        task = asyncio.get_running_loop().create_task(world.forward(call))
        await asyncio.sleep(0)
        world.link.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body")
        reply = await task
        assert isinstance(reply.body, ByteStream) and reply.body.whole() == b"body"
        assert world.endpoint.active == 0
        world.check_over()

    asyncio.run(run())


def test_in_a_task_that_is_cancelled_just_as_its_reply_comes() -> None:
    """The connection is back in the pool by then, perhaps with another call on it, and nothing may happen to that."""

    async def run() -> None:
        world = Served()
        call = world.send().call
        world.link.say(OK)
        task = asyncio.get_running_loop().create_task(world.forward(call))
        await asyncio.sleep(0)
        world.link.say(OK)
        other = world.send()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert other.waiting and not world.link.ended
        world.link.say(OK)
        assert other.reply.status == 200
        world.check_over()

    asyncio.run(run())


def test_in_a_task_that_is_cancelled_just_as_its_connection_is_made() -> None:
    async def run() -> None:
        world = Served(max_connections=1)
        world.server.answer = "wait"
        call = a_call()
        call.target = b"/"
        task = asyncio.get_running_loop().create_task(world.forward(call))
        await asyncio.sleep(0)
        world.server.let()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        world.advance()
        assert world.pool.open == world.server.open
        world.check_over()

    asyncio.run(run())


def test_in_a_task_whose_connection_is_lost_before_it_wakes() -> None:
    """What it was about to send is sent on another, however long it is: nothing of it has gone."""

    async def run() -> None:
        world = Served()
        world.server.answer = "wait"
        body = ByteStream(length=REPLAY_LIMIT + 10)
        body.write(b"x" * (REPLAY_LIMIT + 10))
        body.end()
        call = a_call(method="POST")
        call.target, call.body = b"/", body
        task = asyncio.get_running_loop().create_task(world.forward(call))
        await asyncio.sleep(0)
        world.server.let()
        world.server.answer = "accept"
        world.link.reset()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(world.link.take().partition(b"\r\n\r\n")[2]) == REPLAY_LIMIT + 10
        world.link.say(OK)
        assert (await task).status == 200
        world.check_over()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("head", "body"),
    [(b"Content-Length: 2", b"ok"), (b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n")],
)
@pytest.mark.parametrize("apart", [False, True])
def test_bytes_behind_a_body_are_nobodys(head: bytes, body: bytes, apart: bool) -> None:
    """The reply is complete; its connection is closed, so that they cannot become the next one."""
    world = Served()
    sent = world.send()
    wire = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n"
    if apart:
        world.link.say(wire, body + b"HTTP/1.1 200 OK\r\n")
        assert sent.body.whole() == b"ok"
    else:
        world.link.say(wire + body + b"HTTP/1.1 200 OK\r\n")
        assert sent.reply.body == b"ok"
    assert world.link.ended == "reset"
    assert (world.pool.open, world.endpoint.active) == (0, 0)
    assert any("bytes behind its answer" in line for line in world.env.said)
    world.check_over()


def test_a_body_on_a_get_costs_its_connection() -> None:
    """Some servers leave it unread and take it for the next request, whole or streamed."""
    for body in (b"x", ByteStream(length=1)):
        world = Served()
        sent = world.send("GET", body)
        if isinstance(body, ByteStream):
            body.write(b"x")
            body.end()
        assert world.link.take().endswith(b"content-length: 1\r\n\r\nx")
        world.link.say(OK)
        assert sent.reply.status == 200
        assert world.link.ended == "reset"
        world.check_over()


def test_a_new_clusters_options_hold_for_the_connections_it_takes_over() -> None:
    world = warmed()
    env: Any = world.env
    connector: Any = world.server
    new = Cluster("api", cluster_config("10.0.0.1:80", pool={"idle_timeout": "2s"}), env, connector)
    new.adopt(world.cluster)
    forward = HttpForward(new, connector, env)
    forward.start()
    world.advance(3.0)
    assert world.link.ended == "closed"
    forward.stop()
    assert repr(forward).startswith("<HttpForward to <Cluster api")
    world.check_over()


def test_a_connections_state_in_a_line() -> None:
    world = Served()
    world.send()
    [link] = world.server.links
    connection: Any = link._protocol
    assert repr(connection) == "<HttpUpstream 10.0.0.1:80 busy uses=1>"
    link.say(OK)
    assert repr(connection) == "<HttpUpstream 10.0.0.1:80 idle uses=1>"
    link.reset()
    assert repr(connection) == "<HttpUpstream 10.0.0.1:80 lost uses=1>"
    world.check_over()


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_a_tunnel_counts_as_active_until_its_call_ends() -> None:
    """And its connection as open until it is closed; it never comes back to the pool."""
    world = Served()
    sent = world.send(upgrade="websocket")
    world.link.say(SWITCH + b"first")
    tunnel: Any = sent.reply.tunnel
    assert repr(tunnel) == "<HttpTunnel websocket <ByteStream open 5 bytes, 5 waiting>>"
    assert (world.endpoint.active, world.pool.open) == (1, 1)
    ear = Ear(tunnel.stream)
    tunnel.paced_by(StringTransport())
    tunnel.stream.pause()
    assert not world.link.reading
    tunnel.stream.resume()
    world.link.say(b"second")
    world.link.take()
    tunnel.write(b"ours")
    tunnel.end()
    assert world.link.value() == b"ours"
    assert ear.heard == b"firstsecond"
    world.link.close()
    assert ear.told == [[]]
    tunnel.close()
    world.advance()
    assert world.pool.open == 0
    world.check_over()


def test_a_tunnel_whose_reader_gives_up_is_ended() -> None:
    world = Served()
    sent = world.send(upgrade="websocket")
    world.link.say(SWITCH)
    tunnel: Any = sent.reply.tunnel
    tunnel.stream.cancel()
    assert world.link.ended == "reset"
    world.check_over()


@pytest.mark.parametrize("told", [b"h2c", b"websocket2"])
def test_only_what_was_asked_for_may_be_switched_to(told: bytes) -> None:
    world = Served()
    sent = world.send(upgrade="websocket, other")
    world.link.say(SWITCH.replace(b"websocket", told))
    assert sent.error.kind is Kind.BAD_REPLY
    assert world.link.ended == "reset"
    world.check_over()


def test_an_upgrade_that_is_refused_leaves_an_ordinary_connection() -> None:
    world = Served()
    sent = world.send(upgrade="websocket")
    assert world.link.take().endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    world.link.say(OK)
    assert sent.reply.tunnel is None
    world.send()
    world.link.say(OK)
    assert len(world.server.links) == 1
    world.check_over()
