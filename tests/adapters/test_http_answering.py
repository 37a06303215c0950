"""How replies go out: what a filter made of them, and how they are cut."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from tests.adapters.http_client import Client
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream


def with_trailers(*trailers: Any) -> Reply:
    reply = Reply(200, None, b"x")
    reply.trailers = trailers
    return reply


def with_field(field: Any) -> Reply:
    return Reply(200, Headers([field]), b"x")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(99, None, b"x"),
        Reply(100),
        Reply(101),
        Reply(1000),
        Reply("200", None, b"x"),  # type: ignore[arg-type]
        Reply(200, None, "text"),  # type: ignore[arg-type]
        Reply(200, None, bytearray(b"text")),  # type: ignore[arg-type]
        Reply(200, {"a": "b"}, b"x"),  # type: ignore[arg-type]
        Reply(200, None, b"x", reason="OK"),  # type: ignore[arg-type]
        Reply(200, None, b"x", reason=b"OK\r\nset-cookie: a=b"),
        Reply(200, None, ByteStream(), reason=b"OK\r\nset-cookie: a=b"),
        with_field(("a", "b", "a: b", 0)),
        with_trailers((b"a", b"b\r\nset-cookie: a=b")),
        with_trailers(("a", "b")),
    ],
    ids=repr,
)
def test_a_reply_that_cannot_be_sent_is_a_500(reply: Reply) -> None:
    """It costs its call, and nothing else: nothing of it is sent, it is logged, counted and the next call is served."""
    replies = [reply, Reply(200, None, b"next")]
    calls: list[Call] = []

    async def chain(call: Call) -> Reply:
        calls.append(call)
        return replies.pop(0)

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in client.heard
    assert (calls[0].completed, calls[0].status, calls[0].flags) == (True, 500, ("INT",))
    assert len(client.env.logged) == 1
    assert client.env.count("twisted_mesh_filter_errors_total", "unknown") == 1
    client.get()
    assert client.heard.endswith(b"next")
    assert not client.adapter.calls


def test_a_status_may_be_any_int() -> None:
    async def chain(call: Call) -> Reply:
        return Reply(HTTPStatus.CREATED, None, b"x")

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_body_of_something_else_cuts_a_reply_that_has_begun() -> None:
    body = ByteStream()

    async def chain(call: Call) -> Reply:
        body.write("text")  # type: ignore[arg-type]
        return Reply(200, None, body)

    client = Client(chain)
    client.get()
    assert client.transport.ended == "reset"
    assert len(client.env.logged) == 1
    assert not client.adapter.calls


def test_an_id_that_no_header_can_hold() -> None:
    async def chain(call: Call) -> Reply:
        call.id = "a\r\nset-cookie: b"
        raise MeshError(Kind.DENIED)

    client = Client(chain)
    client.get()
    head, _, _ = client.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"set-cookie" not in head


class Source:
    """Where a stream comes from."""

    paused = stopped = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped = True


async def answers_at_once(call: Call) -> Reply:
    return Reply(200, None, call.resource.encode())


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """Its requests wait, bounded, until it takes what it has been sent; then each is answered, in order."""
    client = Client(answers_at_once)
    client.connection.pauseProducing()
    paths = [f"/{number:04}" for number in range(3000)]
    for each in paths:
        client.get(each)
    assert client.heard == b""
    assert client.transport.producerState == "paused"
    client.connection.resumeProducing()
    assert [each[:5].decode() for each in client.heard.split(b"\r\n\r\n")[1:]] == paths
    assert client.transport.producerState == "producing"


def test_a_reply_of_its_own_that_fills_a_client_holds_up_the_next_request() -> None:
    client = Client(answers_at_once)
    client.get("/1")
    client.connection.pauseProducing()
    client.send(b"GET /2 HTTP/1.1\r\nHo")
    client.send(b"st: a\r\n\r\n")
    client.get("/3")
    assert client.heard.endswith(b"/1")
    client.connection.resumeProducing()
    assert client.heard.endswith(b"/3")
    assert b"/2HTTP/1.1" in client.heard


def test_a_stream_that_follows_a_reply_which_filled_the_client_waits() -> None:
    body = ByteStream(producer := Source())

    async def chain(call: Call) -> Reply:
        return Reply(200, None, body)

    client = Client(chain)
    client.get()
    client.connection.pauseProducing()
    for _ in range(10):
        body.write(b"x" * 65536)
    assert producer.paused
    client.connection.resumeProducing()
    assert not producer.paused
    body.end()
    assert client.heard.endswith(b"0\r\n\r\n")


def test_a_stream_that_begins_while_the_client_is_full_waits() -> None:
    body = ByteStream(producer := Source())
    parked: Parked[Reply] = Parked()

    async def chain(call: Call) -> Reply:
        return await parked

    client = Client(chain)
    client.get()
    client.connection.pauseProducing()
    parked.fire(Reply(200, None, body))
    body.write(b"x" * 65536)
    assert producer.paused
    client.connection.resumeProducing()
    assert not producer.paused


def test_a_call_that_is_stopped_is_left_to_clean_up() -> None:
    """Deadlines of the connection that have passed are not thrown at it again and again."""
    thrown: list[BaseException] = []
    cleaned: list[str] = []

    async def chain(call: Call) -> Reply:
        try:
            await Parked[None]()
        except Cancelled as cancelled:
            thrown.append(cancelled)
            await client.env.sleep(3.0)
            cleaned.append("up")
            raise
        raise AssertionError

    client = Client(chain, {"timeouts": {"stream_idle": "1s"}})
    client.get()
    client.pass_time(3.9)
    assert len(thrown) == 1 and not cleaned
    client.pass_time(0.4)
    assert cleaned
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    assert b"stream_idle_timeout" in client.heard


def test_an_upstream_that_does_not_take_the_body_is_to_blame() -> None:
    async def chain(call: Call) -> Reply:
        assert isinstance(call.body, ByteStream)
        await Parked[None]()
        raise AssertionError

    client = Client(chain, {"timeouts": {"stream_idle": "1s"}})
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    client.send(b"x" * 100_000)
    client.pass_time(1.2)
    assert client.heard.startswith(b"HTTP/1.1 504 ")


def test_a_client_that_does_not_send_its_body_is_to_blame() -> None:
    async def chain(call: Call) -> Reply:
        await Parked[None]()
        raise AssertionError

    client = Client(chain, {"timeouts": {"stream_idle": "1s"}})
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    client.pass_time(1.2)
    assert client.heard.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_half_closes_within_its_answer_sees_that_it_is_cut() -> None:
    """A FIN would make an answer that only the end of the connection delimits look complete."""
    body = ByteStream(source := Source())
    calls: list[Call] = []

    async def chain(call: Call) -> Reply:
        calls.append(call)
        return Reply(200, None, body)

    client = Client(chain)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    body.write(b"the beginning")
    client.half_close()
    assert client.transport.ended == "reset"
    client.pass_time()
    assert source.stopped
    assert (calls[0].completed, calls[0].flags) == (True, ("DC",))


@pytest.mark.parametrize(
    ("rest", "status"), [(b"zz\r\n", 400), (b"5\r\nhello\r\n" * 3, 413)], ids=["broken coding", "too long"]
)
def test_an_answer_to_a_body_that_was_given_up_is_not_destroyed(rest: bytes, status: int) -> None:
    """More of the body may be under way, and closing on it would send a reset that overtakes the answer."""

    async def chain(call: Call) -> Reply:
        call.body_limit = 10
        await Parked[None]()
        raise AssertionError

    client = Client(chain)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(rest)
    assert client.heard.startswith(b"HTTP/1.1 %d " % status)
    assert client.transport.ended == "finished"


@pytest.mark.parametrize("body", ["whole", "streamed"])
def test_a_reply_without_a_body_that_a_filter_gives_one_has_one_length(body: str) -> None:
    """As a cache does with a 304: its Content-Length is that of another body."""
    stream = ByteStream()

    async def chain(call: Call) -> Reply:
        field = (b"content-length", b"99", b"content-length: 99", 2)
        reply = Reply(304, Headers([field]))
        reply.bare = True
        reply.status = 200
        reply.body = b"hi" if body == "whole" else stream
        return reply

    client = Client(chain)
    client.get()
    stream.write(b"hi")
    stream.end()
    assert b"99" not in client.heard
    assert client.heard.endswith((b"content-length: 2\r\n\r\nhi", b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))
