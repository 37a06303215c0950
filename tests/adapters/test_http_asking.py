"""From the head of a request to a call."""

from __future__ import annotations

import pytest

from tests.adapters.http_client import Client
from twisted_mesh.call import Call, Reply
from twisted_mesh.stream import ByteStream

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_request_becomes_a_call() -> None:
    client = Client()
    client.send(b"GET /a/./b?c=d HTTP/1.1\r\nHost: Shop.Example:80\r\nX-One: 1\r\n\r\n")
    call = client.last.call
    assert (call.protocol, call.listener, call.operation) == ("http", "edge", "GET")
    assert (call.resource, call.query, call.target) == ("/a/b", "c=d", b"/a/b?c=d")
    assert (call.host, call.authority, call.version) == ("shop.example", "Shop.Example:80", "1.1")
    assert (call.peer, call.client, call.body, call.trailers) == ("192.0.2.1:1234", "192.0.2.1", b"", ())
    assert call.started == call.received == client.env.now()
    assert call.id and call.headers.get("x-request-id") == call.id
    assert call.headers.get("x-forwarded-for") == "192.0.2.1"
    assert call.headers.get("via") == "1.1 twisted-mesh"
    client.last.say(b"")
    client.check_over()


def test_ids_are_made_where_there_is_none() -> None:
    """Each of its own; one that came is kept."""
    client = Client()
    for lines in (b"", b"", b"X-Request-Id: mine\r\n", b"X-Request-Id:\r\n"):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        client.last.say(b"x")
    ids = [each.call.id for each in client.asked]
    assert ids[2] == "mine"
    assert len(set(ids)) == 4 and all(ids)
    assert [each.call.headers.get_all("x-request-id") for each in client.asked] == [[each] for each in ids]
    client.check_over()


def test_forwarding_fields_follow_the_host_of_each_request() -> None:
    client = Client()
    for host in (b"a", b"a", b"b", b"a"):
        client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        client.last.say(b"x")
    told = [(each.call.headers.get("x-forwarded-host"), each.call.host) for each in client.asked]
    assert told == [("a", "a"), ("a", "a"), ("b", "b"), ("a", "a")]
    client.send(b"GET / HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
    assert client.last.call.headers.get_all("x-forwarded-for") == ["9.9.9.9, 192.0.2.1"]
    assert client.last.call.client == "192.0.2.1"
    client.last.say(b"x")
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.last.call.headers.get("via") == "1.0 twisted-mesh"
    assert client.last.call.headers.get("x-forwarded-host") is None
    client.last.say(b"x")
    client.check_over()


def test_trusted_hops() -> None:
    client = Client(options={"trusted_hops": 1})
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n")
    assert client.last.call.client == "9.9.9.9"
    assert client.last.call.headers.get("x-forwarded-proto") == "https"
    client.last.say(b"")
    client.check_over()


@pytest.mark.parametrize(
    ("request_", "answer", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", True),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
            False,
        ),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx", False),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\nx",
            True,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
            False,
        ),
    ],
)
def test_a_connection_is_kept_as_its_version_has_it(request_: bytes, answer: bytes, kept: bool) -> None:
    client = Client()
    client.send(request_ + GET % 2)
    client.last.say(b"x")
    assert client.heard == answer
    assert client.open is kept
    assert len(client.asked) == (2 if kept else 1)
    if kept:
        client.last.say(b"x")
    client.check_over()


EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


async def collects(call: Call) -> Reply:
    assert isinstance(call.body, ByteStream)
    body = await call.body.collect(100)
    return Reply(200, None, b"%d %b" % ("expect" in call.headers, body))


def test_a_client_that_waits_to_be_asked_is_asked_by_us_where_a_filter_wants_its_body_first() -> None:
    """The upstream cannot say 100 Continue: it hears of the call when the body is there."""
    client = Client(collects)
    client.send(EXPECTING)
    assert client.heard == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.heard.endswith(b"\r\n\r\n0 hello")


def test_a_client_that_does_not_wait_is_not_asked() -> None:
    client = Client(collects)
    client.send(EXPECTING + b"he")
    client.send(b"llo")
    assert client.heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.heard.endswith(b"\r\n\r\n0 hello")
