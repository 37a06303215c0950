"""A call goes out over a connection to an endpoint, and the connection ends."""

from __future__ import annotations

import pytest

from tests.upstream.http_world import OK, World, call
from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.http_lost import StaleConnection


@pytest.mark.parametrize(
    ("sent", "wire"),
    [
        (call(), b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (call("POST"), b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n"),
        (call("POST", b"hi"), b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\nhi"),
        (call("DELETE"), b"DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            call("PUT", b"hi", trailers=((b"x-sum", b"1"),)),
            b"PUT /x HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        (
            call(upgrade="websocket"),
            b"GET /x HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        ),
    ],
)
def test_requests_as_bytes(sent: Call, wire: bytes) -> None:
    """The framing is made anew for each request."""
    world = World()
    world.send(sent)
    assert world.transport.value() == wire


@pytest.mark.parametrize(
    "sent",
    [
        call("GET /x HTTP/1.1\r\nevil: 1\r\nx:"),
        call("G\u20acT"),
        call(upgrade="a\r\nevil: 1"),
        call("PUT", b"hi", trailers=((b"a", b"b\r\nevil: 1"),)),
    ],
    ids=["method", "no ascii", "upgrade", "trailer"],
)
def test_what_a_filter_made_up_does_not_split_a_request(sent: Call) -> None:
    world = World()
    world.send(sent)
    assert world.transport.value() == b""
    assert isinstance(world.outcome, ValueError)


@pytest.mark.parametrize("operation", ["GET", "POST"])
def test_a_kept_connection_that_was_closed_is_stale(operation: str) -> None:
    """Before any byte of a reply, and only if it had been used: the request may be sent again, whatever it is."""
    world = World()
    world.send(call())
    world.says(OK)
    world.send(call(operation, b"hi" if operation == "POST" else b""))
    world.ends()
    assert isinstance(world.error, StaleConnection) and world.error.retryable


@pytest.mark.parametrize(("operation", "safe"), [("GET", True), ("PUT", True), ("POST", False)])
def test_a_new_connection_that_was_closed(operation: str, safe: bool) -> None:
    """Trying again is safe only for what may be done twice."""
    world = World()
    world.send(call(operation, b"hi"))
    world.ends(clean=False)
    assert (world.error.kind, world.error.retryable) == (Kind.RESET, safe)


def test_a_streamed_request() -> None:
    """It is framed as it came, goes out piece by piece, and one that is cut takes the connection with it."""
    world = World()
    known = ByteStream(length=4)
    world.send(call("POST", known))
    known.write(b"ab")
    known.write(b"cd")
    known.end()
    assert world.transport.value().endswith(b"content-length: 4\r\n\r\nabcd")
    world.says(OK)
    assert world.pool.released == 1
    unknown = ByteStream()
    world.send(call("POST", unknown))
    unknown.write(b"ab")
    assert world.transport.value().endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
    unknown.fail(MeshError(Kind.CLIENT_GONE))
    assert world.error.kind is Kind.CLIENT_GONE
    assert world.pool.gone == 1


def test_an_answer_before_the_request_is_out_ends_the_connection() -> None:
    world = World()
    stream = ByteStream(length=100)
    world.send(call("POST", stream))
    stream.write(b"ab")
    world.says(OK)
    assert world.reply.status == 200
    assert (world.pool.released, world.pool.gone) == (0, 1)


def test_nobody_waits_any_more() -> None:
    """The connection is closed, so that the server stops working."""
    world = World()
    world.send(call())
    world.connection.abort()
    assert world.pool.gone == 1 and world.transport.disconnecting
    world.ends()
    assert world.pool.gone == 1
