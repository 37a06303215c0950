"""The connections of one HTTP listener, and what watches over their time."""

from __future__ import annotations

import socket
from typing import Any, Union

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.adapters.http_client import Asked, Client
from twisted_mesh.adapters.http import HttpAdapter
from twisted_mesh.adapters.http_connection import HttpConnection
from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CLEANUP_LIMIT
from twisted_mesh.interfaces import Proceed
from twisted_mesh.model import HttpOptions
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream


def test_connections_and_calls_are_counted() -> None:
    """Open connections, calls in flight, and both back to nothing."""
    client = Client()
    assert (client.adapter.connections, client.adapter.active) == (1, 0)
    client.get()
    assert (client.adapter.connections, client.adapter.active) == (1, 1)
    client.last.say(b"hi")
    assert client.adapter.active == 0
    assert client.env.count("twisted_mesh_downstream_connections_total", "http", "edge") == 1
    client.check_over()


class Waiting:
    """A connection that was accepted; the loop makes it when it comes to it, if it does not fail at once."""

    peer, peer_host = "192.0.2.2:1", "192.0.2.2"

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.protocol: Any = None

    def adopt(self, protocol: Any) -> None:
        if self.fails:
            raise OSError("no longer connected")
        self.protocol = protocol


def test_a_connection_counts_from_when_it_was_accepted() -> None:
    """Many are accepted in one turn of the loop and made in the next; a limit must see them."""
    adapter = Client().adapter
    first, second, broken = Waiting(), Waiting(), Waiting(fails=True)
    for each in (first, second):
        adapter.accepted(each)  # type: ignore[arg-type]
    assert adapter.connections == 3
    with pytest.raises(OSError, match="no longer"):
        adapter.accepted(broken)  # type: ignore[arg-type]
    assert adapter.connections == 3
    first.protocol.makeConnection(StringTransport())
    assert adapter.connections == 3
    first.protocol.connectionLost(None)
    assert adapter.connections == 2


def test_request_ids_are_made_where_there_is_none() -> None:
    """They differ; one that came is kept."""
    client = Client()
    client.get()
    client.last.say(b"")
    client.get()
    client.last.say(b"")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
    client.last.say(b"")
    ids = [each.call.id for each in client.asked]
    assert ids[2] == "mine" and len(set(ids)) == 3
    assert [each.call.headers.get("x-request-id") for each in client.asked] == ids
    client.check_over()


def test_idle_connections_are_closed() -> None:
    """After the time between two requests, which begins when the reply is out."""
    client = Client(options={"timeouts": {"idle": 2.0}})
    client.get()
    client.last.say(b"hi")
    client.pass_time(1.5)
    assert client.open
    client.pass_time(1.0)
    assert client.transport.ended == "closed"
    client.check_over()


def test_a_connection_that_never_asks_is_closed() -> None:
    client = Client(options={"timeouts": {"header": 2.0}})
    client.pass_time(2.5)
    assert client.transport.ended == "closed" and client.heard == b""
    client.check_over()


def test_a_head_that_drips_is_refused() -> None:
    """Bytes do not buy time."""
    client = Client(options={"timeouts": {"header": 2.0}})
    for byte in b"GET / HT":
        client.send(bytes([byte]))
        client.pass_time(0.25)
    client.pass_time(0.5)
    assert client.heard.startswith(b"HTTP/1.1 408 ")
    client.check_over()


def test_closing_all_cuts_calls_in_flight() -> None:
    client = Client()
    client.get()
    client.adapter.close_all()
    client.pass_time(0.1)
    assert client.gone and client.last.ended == 1
    client.check_over()


def test_draining_ends_a_connection_with_its_answer() -> None:
    client = Client()
    client.get()
    client.adapter.drain()
    client.last.say(b"hi")
    assert b"connection: close" in client.heard and not client.open
    client.check_over()


@pytest.mark.parametrize("wrong", [None, "text", 7])
def test_a_filter_that_returns_no_reply(wrong: Any) -> None:
    """One 500, one log line, one count."""

    async def chain(call: Call) -> Any:
        return wrong

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 500 ")
    client.check_over()


def test_a_filter_that_raises() -> None:
    async def chain(call: Call) -> Reply:
        raise ZeroDivisionError("oh")

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 500 ") and b"oh" not in client.heard
    client.get()
    assert client.heard.count(b"HTTP/1.1 500 ") == 2
    client.check_over()


class Watching:
    """An access log."""

    def __init__(self) -> None:
        self.ended: list[Call] = []

    def __call__(self, call: Call, proceed: Proceed) -> Any:
        call.on_complete(self.ended.append)
        return proceed(call)


def test_what_is_refused_is_logged_like_a_call() -> None:
    client = Client()
    watching = Watching()
    client.adapter.observers = [watching]
    client.send(b"NONSENSE\r\n\r\n")
    [call] = watching.ended
    assert (call.status, call.flags, call.peer) == (400, ("DPE",), "192.0.2.1:1234")
    assert "request line" in call.details and call.bytes_out > 0
    client.check_over()


def test_requests_that_wait_are_counted() -> None:
    """Past the limit the client is not read, until enough of them have been answered; none is lost."""
    client = Client(options={"limits": {"pipelined": 3}})
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert client.transport.reading
    client.get()
    assert not client.transport.reading
    for _ in range(4):
        client.last.say(b"")
    assert client.transport.reading and len(client.asked) == 4
    client.check_over()


def test_options_may_change_while_connections_are_open() -> None:
    client = Client()
    client.adapter.configure(HttpOptions.model_validate({"limits": {"body": 1}, "timeouts": {"idle": 1.0}}))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
    assert client.last.call.body_limit == 1
    client.last.say(b"")
    client.pass_time(2.0)
    assert not client.open
    client.check_over()


# --- drain


def test_draining_closes_what_has_been_idle_at_once() -> None:
    client = Client()
    client.get()
    client.last.say(b"hi")
    client.pass_time(5.0)
    client.adapter.drain()
    assert client.transport.ended == "closed"
    client.check_over()


@pytest.mark.parametrize("asked", [False, True])
def test_draining_waits_a_moment_for_a_request_that_may_be_under_way(asked: bool) -> None:
    """Of a connection that has just been made, or has just been used: its client would lose one to the close."""
    client = Client()
    if asked:
        client.get()
        client.last.say(b"hi")
    client.adapter.drain()
    client.pass_time(0.5)
    assert client.open
    client.get()
    client.last.say(b"hi")
    assert client.heard.endswith(b"connection: close\r\n\r\nhi")
    assert client.transport.ended == "closed"
    client.check_over()


def test_draining_does_not_wait_for_ever() -> None:
    client = Client()
    client.adapter.drain()
    client.pass_time(2.0)
    assert client.transport.ended == "closed"
    client.check_over()


def test_a_request_that_comes_in_while_the_drain_begins_is_answered() -> None:
    client = Client()
    client.send(b"GET / HTTP/1.1\r\nHo")
    client.adapter.drain()
    client.pass_time(3.0)
    client.send(b"st: a\r\n\r\n")
    client.last.say(b"hi")
    assert client.heard.endswith(b"connection: close\r\n\r\nhi")
    client.check_over()


def test_a_reply_that_flows_when_the_drain_begins_ends_its_connection_soon() -> None:
    """Its head has promised that the connection stays, so a request may be under way."""
    client = Client()
    client.get()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.adapter.drain()
    client.pass_time(30.0)
    body.end()
    assert client.open
    client.pass_time(1.6)
    assert client.transport.ended == "closed"
    client.check_over()


def test_what_waited_in_the_backlog_is_answered() -> None:
    client = Client()
    client.adapter.drain()
    late = HttpConnection(client.adapter, "192.0.2.2:1", "192.0.2.2")
    transport = StringTransport()
    late.makeConnection(transport)
    late.dataReceived(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
    client.last.say(b"hi")
    assert transport.value().endswith(b"connection: close\r\n\r\nhi")
    assert transport.disconnecting
    late.connectionLost(Failure(ConnectionDone()))
    client.check_over()


class Sock:
    """A socket that holds what nobody has read."""

    def __init__(self, held: Union[bytes, OSError]) -> None:
        self.held = held

    def recv(self, size: int, flags: int) -> bytes:
        assert (size, flags) == (1, socket.MSG_PEEK)
        if isinstance(self.held, OSError):
            raise self.held
        return self.held[:1]


@pytest.mark.parametrize(("held", "waits"), [(b"GET", True), (b"", False), (BlockingIOError(), False)])
def test_what_the_kernel_holds_of_a_request_is_still_read(held: Union[bytes, OSError], waits: bool) -> None:
    client = Client()
    client.get()
    client.last.say(b"hi")
    client.pass_time(5.0)
    client.transport.sock = Sock(held)  # type: ignore[attr-defined]
    client.adapter.drain()
    assert client.open is waits
    client.check_over()


def test_closing_all_cuts_replies_that_flow() -> None:
    client = Client()
    client.get()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.adapter.close_all()
    client.pass_time()
    assert client.transport.ended == "reset" and body.cancelled
    assert "LR" in client.last.call.flags
    client.check_over()


def test_a_filter_that_cleans_up_slowly_does_not_keep_a_connection_from_closing() -> None:
    client = Client()
    cleaned: list[float] = []

    async def slow(call: Call) -> Reply:
        asked = Asked(call)
        client.asked.append(asked)
        try:
            return await asked.wait()
        finally:
            await client.env.sleep(2.0)
            cleaned.append(client.env.now())

    client.adapter.chain = slow
    client.get()
    client.vanish()
    assert client.adapter.connections == 0 and len(client.adapter.calls) == 1
    client.pass_time(2.1)
    assert cleaned and client.last.ended == 1
    client.check_over()


def test_a_filter_whose_clean_up_never_ends_is_ended() -> None:
    client = Client()

    async def endless(call: Call) -> Reply:
        asked = Asked(call)
        client.asked.append(asked)
        try:
            return await asked.wait()
        finally:
            await Parked[None]()

    client.adapter.chain = endless
    client.get()
    client.vanish()
    client.pass_time(CLEANUP_LIMIT + 0.1)
    assert client.last.ended == 1
    client.check_over()


# --- the life of a call


def test_a_call_before_there_is_a_chain() -> None:
    client = Client()
    client.adapter.chain = HttpAdapter("edge", HttpOptions(), client.env).chain
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 500 ")
    [event] = client.env.events
    assert "before the listener had a chain" in event["log_failure"].getErrorMessage()
    client.check_over()


def test_calls_in_flight_stay_on_their_chain() -> None:
    client = Client()
    client.get()

    async def other(call: Call) -> Reply:
        return Reply(200, None, b"new")

    client.adapter.chain = other
    client.last.say(b"old")
    client.get()
    assert client.heard.index(b"old") < client.heard.index(b"new")
    client.check_over()


def test_a_completion_that_raises_is_logged_and_keeps_none_from_running() -> None:
    client = Client()
    client.get()
    ran: list[str] = []

    def broken(call: Call) -> None:
        raise ZeroDivisionError("oh")

    client.last.call.on_complete(lambda call: ran.append("first"))
    client.last.call.on_complete(broken)
    client.last.call.on_complete(lambda call: ran.append("last"))
    client.last.say(b"hi")
    assert ran == ["last", "first"]
    assert len(client.env.logged) == 1
    client.get()
    client.last.say(b"hi")
    assert client.heard.count(b" 200 OK") == 2
    client.check_over()


def test_times_of_a_call() -> None:
    """When it began, when its request was complete, when the head of its reply was known, and when it ended."""
    client = Client()
    start = client.env.now()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    client.pass_time(1.0)
    client.send(b"b")
    client.pass_time(1.0)
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.pass_time(1.0)
    body.end()
    call = client.last.call
    times = [call.started, call.received, call.head_at, call.ended]
    assert [round(each - start, 3) for each in times] == [0.0, 1.0, 2.0, 3.0]
    client.check_over()


def test_how_long_the_caller_waits() -> None:
    """The least of what it says, from when its request was seen; what cannot be read is counted and passed on."""
    client = Client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\ngrpc-timeout: 2S\r\nx-mesh-timeout: 500ms\r\n\r\n")
    call = client.last.call
    assert call.deadline == call.started + 0.5 and not call.plain
    client.last.say(Reply(200))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nx-mesh-timeout: soon\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
    call = client.last.call
    assert (call.deadline, call.plain, call.headers.get("x-mesh-timeout")) == (None, True, "soon")
    assert len(call.headers.get_all("x-forwarded-for")) == 1
    client.last.say(Reply(200))
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert not client.last.call.plain
    client.last.say(Reply(200))
    assert (client.adapter.deadlines.value, client.adapter.deadlines_malformed.value) == (1, 1)
    client.check_over()


def test_an_idle_listener_sleeps() -> None:
    """No timer runs without a connection, and they start again with one."""
    client = Client()
    assert client.env.clock.getDelayedCalls()
    client.check_over()
    again = HttpConnection(client.adapter, "192.0.2.2:1", "192.0.2.2")
    transport = StringTransport()
    again.makeConnection(transport)
    client.pass_time(16.0)
    assert transport.disconnecting
    again.connectionLost(Failure(ConnectionDone()))
    client.check_over()


def test_an_answer_of_408_is_not_cut_short() -> None:
    """The client may be sending still, and its time to take the answer is the transport's, not that of the head."""
    client = Client(options={"timeouts": {"header": 1.0}})
    client.send(b"GET / HT")
    client.pass_time(1.3)
    assert client.heard.startswith(b"HTTP/1.1 408 ")
    assert client.transport.ended == "finished"
    client.check_over()


class Lingering(StringTransport):
    """A transport that finishes later than at once, and notes who cuts that short."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def finish(self) -> None:
        self.said.append("finish")

    def loseConnection(self) -> None:
        self.said.append("lose")


def test_a_refusal_is_left_to_linger() -> None:
    client = Client(options={"timeouts": {"header": 1.0}})
    other = HttpConnection(client.adapter, "192.0.2.2:1", "192.0.2.2")
    transport = Lingering()
    other.makeConnection(transport)
    other.dataReceived(b"GET / HT")
    client.pass_time(3.0)
    assert transport.said == ["finish"]
    other.connectionLost(Failure(ConnectionDone()))
    client.check_over()


def test_a_client_of_tls_is_told_apart() -> None:
    """The next hop hears that it was https, and calls know who the certificate is for; also one that is refused."""
    client = Client()

    class Accepted:
        peer, peer_host, identity = "192.0.2.7:1", "192.0.2.7", "spiffe://shop/app"

        def adopt(self, protocol: Any) -> None:
            self.protocol = protocol
            protocol.makeConnection(StringTransport())

    accepted = Accepted()
    client.adapter.secured(accepted)  # type: ignore[arg-type]
    assert client.adapter.connections == 2
    accepted.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    call = client.last.call
    assert call.identity == "spiffe://shop/app"
    assert call.headers.get("x-forwarded-proto") == "https"
    assert call.headers.get("forwarded") == 'for=192.0.2.7;host="a";proto=https'
    client.last.say(b"")
    accepted.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n\r\n")
    assert client.last.call.headers.get("x-forwarded-proto") == "https"
    client.last.say(b"")
    refused: list[Any] = []
    client.adapter.observers = [lambda call, proceed: refused.append(call.identity)]  # type: ignore[list-item,return-value]
    accepted.protocol.dataReceived(b"GET\r\n\r\n")
    assert refused == ["spiffe://shop/app"]
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.last.call.identity is None and client.last.call.headers.get("x-forwarded-proto") == "http"
    client.last.say(b"")
