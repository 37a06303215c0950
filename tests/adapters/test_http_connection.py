"""Requests on one connection: cut anywhere, pipelined, kept alive, given up; and what becomes of each byte."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.http_client import Client
from tests.codec.cuts import PLACES, cut_at, one_by_one, same_in_any_cut
from twisted_mesh.adapters.http_connection import PIPELINE_LIMIT
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def heads(heard: bytes) -> list[bytes]:
    """The status lines in what a client heard."""
    return [line for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.")]


# --- what a call says of its request


# --- any cut

REQUESTS: list[tuple[bytes, tuple[str, str, bytes, Any]]] = [
    (GET % 1, ("GET", "/1", b"", [])),
    (b"\r\n\r\n" + GET % 2, ("GET", "/2", b"", [])),
    (POST % 5 + b"hello", ("POST", "/post", b"hello", [])),
    (POST % 0, ("POST", "/post", b"", [])),
    (CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n", ("POST", "/chunked", b"hello!", [(b"T", b"t")])),
    (CHUNKED + b"0\r\n\r\n", ("POST", "/chunked", b"", [])),
    (CHUNKED + b"0\r\nT: t\r\n\r\n", ("POST", "/chunked", b"", [(b"T", b"t")])),
]


class Collecting(Client):
    """Every call is answered with its path, once its body is here; `calls` notes what each was."""

    def __init__(self, **options: Any) -> None:
        super().__init__(self._collect, options)
        self.calls: list[tuple[str, str, bytes, list[tuple[bytes, bytes]]]] = []

    async def _collect(self, call: Call) -> Reply:
        body, trailers = call.body, call.trailers
        if isinstance(body, ByteStream):
            body, trailers = await body.collect(1000), body.trailers
        self.calls.append((call.operation, call.resource, body, list(trailers)))
        assert call.received
        return Reply(200, None, call.resource.encode())


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4), PLACES)
def test_pipelined_requests_in_any_cut(requests: list[tuple[bytes, Any]], places: list[int]) -> None:
    """Each becomes the same call, and the answers stand in their order."""

    def served(pieces: Sequence[bytes]) -> tuple[Any, bytes]:
        client = Collecting()
        for each in pieces:
            client.send(each)
        calls, heard = client.calls, client.heard
        assert client.open
        client.check_over()
        return calls, heard

    calls, heard = same_in_any_cut(b"".join(data for data, _ in requests), places, served)
    assert calls == [expected for _, expected in requests]
    assert [line for line in heads(heard) if line.endswith(b" 200 OK")] == heads(heard)
    bodies = [each.partition(b"\r\n\r\n")[2] for each in heard.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [each[1].encode() for _, each in requests]


@given(
    st.sampled_from([b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", CHUNKED + b"x\r\n", b"GET / HTTP/1.1\n\n", b"\rGET"]),
    PLACES,
)
def test_a_valid_request_before_rubbish_is_answered_first(rubbish: bytes, places: list[int]) -> None:
    """Then the rubbish is refused, and the connection closes."""

    def served(pieces: Sequence[bytes]) -> list[bytes]:
        client = Client()
        for each in pieces:
            client.send(each)
        client.asked[0].say(b"first\r\n")
        client.pass_time()
        assert not client.open
        found = heads(client.heard)
        client.check_over()
        return found

    found = same_in_any_cut(GET % 1 + rubbish, places, served)
    assert found == [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request"]


# --- one after the other


def test_pipelined_requests_run_one_after_another() -> None:
    client = Client()
    client.send(GET % 1 + GET % 2 + (GET % 3)[:10])
    assert [each.call.resource for each in client.asked] == ["/1"]
    client.last.say(b"one")
    assert [each.call.resource for each in client.asked] == ["/1", "/2"]
    client.send((GET % 3)[10:])
    client.last.say(b"two")
    client.last.say(b"three")
    assert client.heard.count(b"HTTP/1.1 200 OK") == 3
    assert client.heard.index(b"one") < client.heard.index(b"two") < client.heard.index(b"three")
    client.check_over()


def test_many_pipelined_requests_need_no_depth() -> None:
    """However they are answered, at once or later."""
    client = Client(_at_once)
    client.send(GET % 1 * 5000)
    assert client.heard.count(b"HTTP/1.1 200 OK") == 5000
    client.check_over()


async def _at_once(call: Call) -> Reply:
    return Reply(200, None, b"x")


def test_what_waits_behind_a_call_is_bounded() -> None:
    """Reading pauses when there is enough of it, and goes on as soon as there is not."""
    client = Client()
    client.send(GET % 1)
    big = b"GET /big HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
    for _ in range(3):
        client.send(big)
        assert client.transport.reading
    client.send(big)
    assert not client.transport.reading
    client.last.say(b"x")
    # While a connection is not read nobody sees that its client has gone.
    assert client.transport.reading
    for _ in range(4):
        client.last.say(b"x")
    assert len(client.asked) == 5
    client.check_over()


def test_a_body_that_begins_in_what_waited_is_read_to_its_end() -> None:
    """The pause that bounded what waits must not keep the rest of it away."""
    client = Collecting()
    parked: Parked[Reply] = Parked()

    async def first(call: Call) -> Reply:
        return await parked

    client.adapter.chain = first
    client.send(GET % 0)
    client.adapter.chain = client._collect
    requests = GET % 1 * (PIPELINE_LIMIT // len(GET % 1))
    client.send(requests)
    client.send(POST % 500 + b"x" * 100)
    assert not client.transport.reading
    parked.fire(Reply(200, None, b"x"))
    assert client.transport.reading
    client.send(b"x" * 400)
    assert client.calls[-1][2] == b"x" * 500
    client.check_over()


def test_a_body_that_waited_whole_leaves_the_client_read() -> None:
    """As it is larger than what a stream holds its reading was paused, for a moment."""
    client = Client()
    client.send(CHUNKED + b"12000\r\n" + b"x" * 0x12000 + b"\r\n0\r\n\r\n" + (GET % 1)[:5])
    assert client.last.call.body == b"x" * 0x12000
    assert client.transport.reading
    client.last.say(b"x")
    client.send((GET % 1)[5:])
    assert client.last.call.resource == "/1"
    client.last.say(b"x")
    client.check_over()


# --- keep-alive


# --- the client goes


def test_a_client_that_goes_while_its_call_waits() -> None:
    """The call is cancelled, and ends with 499 and the flag DC."""
    client = Client()
    client.send(GET % 1 + GET % 2)
    client.vanish()
    asked = client.last
    assert isinstance(asked.cancelled, Cancelled) and asked.cancelled.kind is Kind.CLIENT_GONE
    assert (asked.call.flags, asked.call.status, asked.ended) == (("DC",), 499, 1)
    assert len(client.asked) == 1
    client.check_over()


def test_a_client_that_ends_its_side_while_its_call_waits_has_gone() -> None:
    client = Client()
    client.send(GET % 1)
    client.half_close()
    client.pass_time()
    assert client.last.call.flags == ("DC",)
    assert client.heard == b""
    client.check_over()


def test_a_client_that_goes_in_the_middle_of_its_body() -> None:
    """Whoever reads the body sees it cut."""
    client = Client()
    client.send(POST % 10 + b"half")
    body = client.last.call.body
    assert isinstance(body, ByteStream)
    client.vanish()
    assert isinstance(body.error, MeshError) and body.error.kind is Kind.CLIENT_GONE
    assert not body.ended
    assert (client.last.call.flags, client.last.call.bytes_in) == (("DC",), 4)
    client.check_over()


def test_a_client_that_goes_in_the_middle_of_its_answer() -> None:
    client = Client()
    client.send(GET % 1)
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"begun")
    client.vanish()
    assert body.cancelled
    assert (client.last.call.flags, client.last.call.bytes_out, client.last.call.status) == (("DC",), 5, 200)
    client.check_over()


def test_a_client_that_goes_between_two_requests() -> None:
    """Also with a head that is not complete: it was no call, so nobody hears of it."""
    for start in (b"", b"GET / HTTP"):
        client = Client()
        client.send(GET % 1)
        client.last.say(b"x")
        client.send(start)
        client.half_close()
        assert client.transport.ended == "closed"
        client.pass_time()
        client.check_over()


def test_a_client_that_has_gone_when_its_cancelled_call_ends() -> None:
    """What the chain then returns is discarded."""
    client = Client()
    body = ByteStream()
    seen: list[Call] = []

    async def stubborn(call: Call) -> Reply:
        seen.append(call)
        try:
            await Parked[None]()
        except Cancelled:
            pass
        return Reply(200, None, body)

    client.adapter.chain = stubborn
    client.send(GET % 1)
    client.vanish()
    assert body.cancelled and seen[0].completed
    client.check_over()


# --- half_close: true


def test_half_closed_clients_get_all_their_answers() -> None:
    client = Client(half_close=True)
    client.send(GET % 1 + GET % 2 + GET % 3)
    client.half_close()
    for number, body in enumerate((b"one", b"two", b"three"), 1):
        assert len(client.asked) == number
        assert client.open
        client.last.say(body)
    assert client.heard.endswith(b"connection: close\r\n\r\nthree")
    assert client.heard.count(b"connection: close") == 1
    assert client.transport.ended == "closed"
    client.check_over()


def test_half_closed_clients_get_a_streamed_answer_and_then_the_end() -> None:
    client = Client(half_close=True)
    client.send(GET % 1)
    client.half_close()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"abc")
    assert client.open
    body.end()
    assert client.heard.endswith(b"connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert client.transport.ended == "closed"
    client.check_over()


def test_half_closing_within_a_request_is_going() -> None:
    for start in (b"GET / HT", POST % 10 + b"half"):
        client = Client(half_close=True)
        client.send(start)
        client.half_close()
        client.pass_time()
        assert not client.open
        assert [each.call.flags for each in client.asked] in ([], [("DC",)])
        client.check_over()


def test_half_closing_with_half_a_request_behind_the_last_whole_one() -> None:
    client = Client(half_close=True)
    client.send(GET % 1 + b"GET /2 HT")
    client.half_close()
    client.last.say(b"one")
    client.pass_time()
    assert heads(client.heard) == [b"HTTP/1.1 200 OK"]
    assert not client.open
    client.check_over()


# --- odds and ends


def test_what_comes_behind_the_last_answer_is_dropped() -> None:
    client = Client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    client.last.say(b"x")
    heard = client.heard
    for each in one_by_one(GET % 2):
        client.send(each)
    assert client.heard == heard and len(client.asked) == 1
    client.check_over()


@pytest.mark.parametrize("start", [b"\r", b"\r\r\n", b"\n", b"\r\n\n", b" "])
def test_what_is_no_empty_line_before_a_request_is_refused(start: bytes) -> None:
    for pieces in ([start + GET % 1], one_by_one(start + GET % 1)):
        client = Client()
        for each in pieces:
            client.send(each)
        assert heads(client.heard) == [b"HTTP/1.1 400 Bad Request"]
        assert client.asked == []
        client.check_over()


@pytest.mark.parametrize("data", [b"\r\n" * 3000, b"\r\n\r", b"\r"])
def test_empty_lines_are_no_requests(data: bytes) -> None:
    """They are ignored, and buy no time; what is more than that is answered with a 408."""
    client = Client()
    for each in cut_at(data, list(range(1, 300, 7))):
        client.send(each)
    client.pass_time(16.0)
    assert not client.open
    if data.endswith(b"\n"):
        assert client.heard == b""
    else:
        assert client.heard.startswith(b"HTTP/1.1 408 ")
    client.check_over()


def test_its_state_in_a_line() -> None:
    client = Client()
    assert repr(client.connection) == "<HttpConnection from 192.0.2.1:1234 idle>"
    client.send(GET % 1)
    assert "GET a/1" in repr(client.connection)
    client.last.say(Reply(200, None, b"x"))
    client.connection.drain()
    client.vanish()
    assert repr(client.connection).endswith("gone>")
    assert repr(client.adapter) == "<HttpAdapter edge 0 connections, 0 calls>"
    client.check_over()
