"""The connections of one HTTP listener, and what watches over their time."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from tests.adapters.http_client import Client
from twisted_mesh.call import Call, Reply
from twisted_mesh.interfaces import Proceed
from twisted_mesh.model import HttpOptions


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


def test_options_may_change_while_connections_are_open() -> None:
    client = Client()
    client.adapter.configure(HttpOptions.model_validate({"limits": {"body": 1}, "timeouts": {"idle": 1.0}}))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
    assert client.last.call.body_limit == 1
    client.last.say(b"")
    client.pass_time(2.0)
    assert not client.open
    client.check_over()
