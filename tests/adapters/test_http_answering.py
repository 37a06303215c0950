"""How replies go out: what a filter made of them, and how they are cut."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Optional

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


# --- framing

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


def streamed(*pieces: bytes, length: Optional[int] = None, trailers: Any = ()) -> Reply:
    """A reply whose body is told of in pieces."""
    body = ByteStream(length=length)
    for each in pieces:
        body.write(each)
    body.end(trailers)
    return Reply(200, None, body)


@pytest.mark.parametrize(
    ("request_", "reply", "wire", "kept"),
    [
        (GET, Reply(200, None, b""), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (GET, Reply(204), b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (GET, Reply(304, None, b"x"), b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
        (
            GET,
            Reply(200, None, b"x" * 70_000),
            b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000,
            True,
        ),
        (
            GET,
            streamed(b"ab", b"c"),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            True,
        ),
        (GET, streamed(b"ab", b"c", length=3), b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", True),
        (GET, streamed(length=0), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (
            GET,
            streamed(b"a", trailers=[(b"T", b"t")]),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: t\r\n\r\n",
            True,
        ),
        (OLD, streamed(b"ab"), b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nab", False),
        (OLD_KEPT, streamed(b"ab"), b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nab", False),
        (
            OLD_KEPT,
            streamed(b"ab", length=2),
            b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nab",
            True,
        ),
        (OLD, streamed(b"a", trailers=[(b"T", b"t")]), b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\na", False),
        (GET.replace(b"GET", b"HEAD"), streamed(b"ab"), b"HTTP/1.1 200 OK\r\n\r\n", True),
        (GET.replace(b"GET", b"HEAD"), Reply(200, None, b"ab"), b"HTTP/1.1 200 OK\r\n\r\n", True),
    ],
)
def test_replies_on_the_wire(request_: bytes, reply: Reply, wire: bytes, kept: bool) -> None:
    """Framed for the client's version, whatever came from upstream; the next request is answered where it may be."""
    client = Client()
    client.send(request_ + GET)
    client.last.say(reply)
    assert client.take() == wire
    assert client.open is kept
    assert len(client.asked) == (2 if kept else 1)
    if kept:
        client.last.say(b"next")
        assert client.heard.endswith(b"\r\n\r\nnext")
    client.check_over()


def test_what_goes_out_is_counted() -> None:
    """Bytes of the body, and no others."""
    client = Client()
    for reply, size in ((Reply(200, None, b"abc"), 3), (streamed(b"ab", b"cd"), 4), (Reply(204), 0)):
        client.get()
        client.last.say(reply)
        assert client.last.call.bytes_out == size
    client.check_over()


def test_the_body_of_a_refusal_is_not_counted_where_it_is_not_sent() -> None:
    client = Client()
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.last.say(MeshError(Kind.NO_ROUTE))
    head, _, rest = client.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ") and rest == b""
    assert client.last.call.bytes_out == 0
    client.check_over()


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"def", b"g"), ()])
def test_a_body_that_is_not_as_long_as_it_said_is_cut(pieces: tuple[bytes, ...]) -> None:
    """Or the client would take the next reply for a part of it, or a part of it for the next reply."""
    client = Client()
    client.send(GET + GET)
    client.last.say(streamed(*pieces, length=5))
    assert client.transport.ended == "reset"
    assert len(client.asked) == 1
    client.check_over()
    assert client.last.call.flags == ("INT",)


@pytest.mark.parametrize("trailers", [[(b"a", b"b\r\nc: d")], [("a", "b")], 7])
def test_trailers_that_cannot_be_sent_cut_their_reply(trailers: Any) -> None:
    client = Client()
    client.get()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"x")
    body.end(trailers)
    assert client.heard.endswith(b"1\r\nx\r\n")
    assert client.transport.ended == "reset"
    assert len(client.env.logged) == 1
    client.check_over()


# --- interim replies


def test_interim_replies_come_first() -> None:
    client = Client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    call = client.last.call
    assert call.headers.get("expect") == "100-continue"
    assert call.on_interim is not None
    call.on_interim(Reply(100))
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hi")
    call.on_interim(Reply(103, Headers.of([("link", "</a>")])))
    assert client.take() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    client.last.say(b"ok")
    assert client.open
    client.check_over()


def test_interim_replies_are_not_for_http_1_0_nor_for_who_has_gone_nor_for_whom_is_answered() -> None:
    client = Client()
    client.send(OLD)
    assert client.last.call.on_interim is not None
    client.last.call.on_interim(Reply(103))
    assert client.heard == b""
    client.vanish()
    client.last.call.on_interim(Reply(103))
    client.check_over()
    answered = Client()
    answered.send(GET)
    body = ByteStream()
    answered.last.say(Reply(200, None, body))
    heard = answered.heard
    answered.last.call.on_interim(Reply(103))  # type: ignore[misc]
    assert answered.heard == heard
    answered.check_over()


# --- early replies

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


def test_a_reply_before_the_request_has_come_closes_the_connection_gently() -> None:
    """What is still under way must not become a request, and a reset must not overtake the reply."""
    client = Client()
    client.send(POST + b"half")
    body = client.last.call.body
    assert isinstance(body, ByteStream)
    client.last.say(Reply(413, None, b"no"))
    assert client.heard.endswith(b"content-length: 2\r\nconnection: close\r\n\r\nno")
    assert client.transport.ended == "finished"
    assert body.cancelled
    client.send(b"  half" + GET)
    assert len(client.asked) == 1
    client.check_over()


def test_a_streamed_reply_flows_while_the_request_still_comes() -> None:
    client = Client()
    client.send(POST + b"half")
    request = client.last.call.body
    assert isinstance(request, ByteStream)
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    assert b"connection: close" in client.take()
    client.send(b"moreAB")
    assert request.ended
    body.write(b"x")
    assert client.take() == b"1\r\nx\r\n"
    body.end()
    assert client.take() == b"0\r\n\r\n"
    assert client.transport.ended == "closed"
    client.check_over()


def test_a_request_that_breaks_while_its_reply_flows_cuts_it() -> None:
    client = Client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.send(b"zz\r\n")
    assert client.transport.ended == "reset"
    assert body.cancelled
    client.check_over()
    assert client.last.call.flags == ("DPE",)


# --- replies that are cut


def test_a_reply_that_is_cut_looks_cut() -> None:
    """Whatever its framing: a reset, and nothing that could pass for its end; what came before is not lost by us."""
    for request_, length in ((GET, None), (GET, 10), (OLD, None)):
        client = Client()
        client.send(request_)
        body = ByteStream(length=length)
        client.last.say(Reply(200, None, body))
        body.write(b"abc")
        body.fail(MeshError(Kind.RESET, "the upstream closed"))
        assert client.transport.ended == "reset"
        assert b"abc" in client.heard and not client.heard.endswith(b"0\r\n\r\n")
        call = client.last.call
        assert (call.flags, call.details, call.status) == (("UR",), "the upstream closed", 200)
        client.check_over()


def test_a_slow_reader_slows_its_reply_and_no_other() -> None:
    source = Source()
    client = Client()
    client.send(GET)
    body = ByteStream(source)
    client.last.say(Reply(200, None, body))
    client.transport.fill()
    assert source.paused
    body.write(b"late")
    assert b"late" not in client.heard
    client.transport.empty()
    assert not source.paused
    assert b"late" in client.heard
    body.end()
    assert client.open
    client.check_over()


# --- time


def test_a_call_that_lasts_too_long_before_its_reply_is_a_504() -> None:
    client = Client()
    client.send(GET)
    client.last.call.max_duration = 2.0
    client.pass_time(3.1)
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    assert not client.open
    client.check_over()
    assert client.last.call.flags == ("DT",)


def test_a_call_whose_route_is_found_late_lasts_no_longer_either() -> None:
    """As a filter before the route waited."""
    client = Client()

    async def slow(call: Call) -> Reply:
        await client.env.sleep(1.0)
        call.max_duration = 3.0
        return await client._chain(call)

    client.adapter.chain = slow
    client.send(GET)
    client.pass_time(5.0)
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    client.check_over()


def test_a_reply_that_lasts_too_long_is_cut() -> None:
    client = Client()
    client.send(GET)
    client.last.call.max_duration = 2.0
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    for _ in range(4):
        body.write(b"x")
        client.pass_time(0.45)
    assert client.open
    client.pass_time(1.0)
    assert client.transport.ended == "reset" and body.cancelled
    client.check_over()
    assert client.last.call.flags == ("DT",)


@pytest.mark.parametrize("who", ["upstream", "client"])
def test_a_reply_that_stands_still_is_cut(who: str) -> None:
    client = Client(options={"timeouts": {"stream_idle": "2s"}})
    client.send(GET)
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"x")
    if who == "client":
        client.transport.fill()
        body.write(b"more")
    client.pass_time(1.5)
    assert client.open
    client.pass_time(1.0)
    assert client.transport.ended == "reset" and body.cancelled
    client.check_over()
    assert client.last.call.flags == ("SI",)


def test_the_routes_idle_time_comes_first() -> None:
    client = Client(options={"timeouts": {"stream_idle": "1s"}})
    client.send(GET)
    client.last.call.idle_timeout = 4.0
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.pass_time(2.5)
    assert client.open
    client.pass_time(2.5)
    assert client.transport.ended == "reset"
    client.check_over()


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_drips_is_given_up(begun: bool) -> None:
    """After a time of grace a sender must keep up a rate, or one byte every minute would hold a place for ever."""
    client = Client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    if begun:
        client.last.say(Reply(200, None, ByteStream()))
    for _ in range(8):
        client.pass_time(5.0)
        client.send(b"1\r\nx\r\n")
    if begun:
        assert client.transport.ended == "reset"
    else:
        assert client.heard.startswith(b"HTTP/1.1 408 ")
        assert client.transport.ended == "finished"
    client.check_over()
    assert client.last.call.flags == ("DPE",)


def test_a_body_that_keeps_up_may_take_its_time() -> None:
    client = Client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    ear = client.last.call.body
    assert isinstance(ear, ByteStream)
    ear.stop_keeping()
    for _ in range(20):
        client.pass_time(5.0)
        client.send(b"x" * 400)
    assert client.open and client.heard == b""
    client.check_over()


def test_a_route_timeout_counts_from_the_end_of_the_request() -> None:
    client = Client()
    client.send(POST)
    client.last.call.timeout = 1.0
    client.pass_time(3.0)
    assert client.heard == b""
    client.send(b"0123456789")
    client.pass_time(0.8)
    assert client.heard == b""
    client.pass_time(0.3)
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    client.check_over()
    assert client.last.call.flags == ("UT",)


def test_a_route_timeout_does_not_cut_a_reply_that_flows() -> None:
    client = Client()
    client.send(GET)
    client.last.call.timeout = 1.0
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.pass_time(5.0)
    body.end()
    assert client.heard.endswith(b"0\r\n\r\n") and client.open
    client.check_over()


def test_a_reply_that_moves_is_not_idle() -> None:
    client = Client(options={"timeouts": {"stream_idle": "1s"}})
    client.send(GET)
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    for _ in range(6):
        client.pass_time(0.8)
        body.write(b"x")
    body.end()
    assert client.heard.endswith(b"1\r\nx\r\n0\r\n\r\n") and client.open
    client.check_over()


def test_limits_that_a_filter_sets_late_hold_from_the_head_on() -> None:
    client = Client()
    client.send(GET)
    call = client.last.call
    call.route = Any  # type: ignore[assignment]  # it is known, whatever it is
    client.pass_time(1.5)
    call.idle_timeout = 2.0
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    client.pass_time(2.6)
    assert client.transport.ended == "reset"
    client.check_over()


def test_a_streamed_reply_while_draining_says_that_the_connection_closes() -> None:
    client = Client()
    client.send(GET)
    client.adapter.drain()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    assert b"\r\nconnection: close\r\n" in client.heard
    body.end()
    assert client.transport.ended == "closed"
    client.check_over()


def test_a_body_that_pauses_with_its_last_piece_leaves_the_client_read() -> None:
    """Or nobody would see it go while its call waits."""
    client = Client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n")
    client.send(b"x" * 66_000)
    assert not client.transport.reading
    client.send(b"x" * 4_000)
    assert client.transport.reading
    client.half_close()
    client.pass_time()
    assert client.last.call.flags == ("DC",)
    client.check_over()
