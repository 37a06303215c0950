"""What ends a client's connection when it takes too long."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.http_client import Client
from twisted_mesh.adapters.http_body import GRACE
from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CLEANUP_LIMIT
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

IDLE = {"timeouts": {"stream_idle": 2.0}}
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"


def test_an_upstream_that_keeps_silent() -> None:
    """The request was complete, so it is not the client's fault."""
    client = Client(options=IDLE)
    client.get()
    client.pass_time(3.0)
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    client.check_over()
    assert client.last.call.flags == ("SI",)


def test_a_client_that_stops_sending() -> None:
    client = Client(options=IDLE)
    client.send(POST + b"x")
    client.pass_time(1.5)
    client.send(b"x")
    client.pass_time(1.5)
    assert client.heard == b""
    client.pass_time(1.0)
    assert client.heard.startswith(b"HTTP/1.1 408 ")
    client.check_over()


def test_a_client_that_drips() -> None:
    """It never stands still, and is too slow all the same."""
    client = Client()
    client.send(POST)
    for _ in range(int(GRACE) + 10):
        if client.transport.ended:
            break
        client.send(b"x")
        client.pass_time(1.0)
    assert client.heard.startswith(b"HTTP/1.1 408 ")
    client.check_over()


def test_a_reply_that_stands_still_is_cut() -> None:
    client = Client(options=IDLE)
    client.get()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"some")
    client.pass_time(3.0)
    assert client.transport.ended == "reset" and not client.heard.endswith(b"0\r\n\r\n")
    client.check_over()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_longest_duration(streaming: bool) -> None:
    """An error while the head is not out, a cut afterwards, however much moves."""
    client = Client()
    client.get()
    client.last.call.max_duration = 2.0
    # The limit is found at the next look, as where a filter sets it.
    client.connection.deadline = 0.0
    body: Any = ByteStream()
    if streaming:
        client.last.say(Reply(200, None, body))
    for _ in range(4):
        client.pass_time(1.0)
        body.write(b"x")
    if streaming:
        assert client.transport.ended == "reset"
    else:
        assert client.heard.startswith(b"HTTP/1.1 504 ")
    client.check_over()
    assert client.last.call.flags[0] == "DT"


def test_stopping_where_there_is_no_call() -> None:
    client = Client()
    client.connection.stop(Kind.MAX_DURATION)
    assert client.open and client.heard == b""
    client.check_over()


def test_a_reader_that_is_slow_does_not_stand_still() -> None:
    """What it takes out of the kernel's buffers counts, long before there is room to send it more."""
    client = Client(options=IDLE)
    client.get()
    body = ByteStream()
    client.last.say(Reply(200, None, body))
    body.write(b"some")
    transport: Any = client.transport
    transport.untaken = 9000
    transport.fill()
    for _ in range(8):
        client.pass_time(0.75)
        transport.untaken -= 1000
    assert client.open
    client.pass_time(3.5)
    assert client.transport.ended == "reset"
    client.check_over()
    assert client.last.call.flags == ("SI",)


def test_an_upstream_that_takes_a_body_slowly_does_not_stand_still() -> None:
    class Upstream:
        untaken = 9000

        def body_data(self, data: bytes) -> None:
            """Pass it on."""

        body_ended = body_failed = body_data

    client = Client(options=IDLE)
    client.send(POST + b"x")
    upstream: Any = Upstream()
    body: Any = client.last.call.body
    body.map(bytes.upper).attach(upstream)
    body.pause()
    for _ in range(8):
        client.pass_time(0.75)
        upstream.untaken -= 1000
    assert client.open
    client.pass_time(3.5)
    assert client.heard.startswith(b"HTTP/1.1 504 ")
    client.check_over()


# --- clients that are not read: nothing but a look shows that they have gone

MANY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100


@pytest.mark.parametrize("left", ["end", "reset"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_client_that_goes_behind_many_requests(left: str, streaming: bool) -> None:
    client = Client(options={"timeouts": {"stream_idle": "off"}})
    client.send(MANY)
    if streaming:
        client.last.say(Reply(200, None, ByteStream()))
    assert not client.transport.reading
    client.pass_time(5.0)
    assert client.open
    client.transport.left = left
    client.pass_time(1.5)
    assert client.transport.ended == "reset"
    assert client.last.call.flags == ("DC",)
    client.check_over()


def test_a_client_that_goes_behind_a_body_that_nobody_takes() -> None:
    client = Client()
    client.send(POST + b"x")
    body: Any = client.last.call.body
    client.last.call.route = object()  # type: ignore[assignment]
    body.attach(_Taking())
    body.pause()
    assert not client.transport.reading
    client.pass_time(5.0)
    client.transport.left = "end"
    client.pass_time(1.5)
    assert client.transport.ended == "reset"
    client.check_over()


class _Taking:
    def body_data(self, data: bytes) -> None:
        """Take it."""

    body_ended = body_failed = body_data


def test_a_client_that_half_closes_behind_many_requests_where_it_may() -> None:
    client = Client(half_close=True)
    client.send(MANY)
    client.transport.left = "end"
    client.pass_time(5.0)
    assert client.open
    client.transport.left = "reset"
    client.pass_time(1.5)
    assert client.transport.ended == "reset"
    client.check_over()


def test_a_client_that_does_not_take_its_answer_is_not_idle_at_once() -> None:
    """What it has asked behind it waits, unread, with no call in flight."""
    client = Client()
    client.get()
    client.transport.fill()
    client.send(MANY)
    client.last.say(b"x")
    assert not client.transport.reading and client.connection.call is None
    client.pass_time(5.0)
    assert client.open
    client.transport.empty()
    assert client.connection.call is not None
    client.check_over()


def test_looking_for_a_client_does_not_disturb_the_cleaning_up() -> None:
    """A call that was stopped is for the call table to end."""
    client = Client(options=IDLE)
    thrown: list[BaseException] = []

    async def stubborn(call: Call) -> Reply:
        try:
            return await Parked()
        except Cancelled as reason:
            thrown.append(reason)
            await Parked[None]()
        return Reply(200)

    client.adapter.chain = stubborn
    client.get()
    client.pass_time(2.5)
    client.send(MANY)
    assert not client.transport.reading
    client.pass_time(CLEANUP_LIMIT - 1.0)
    assert len(thrown) == 1 and client.open
    client.pass_time(1.0)
    assert client.heard.startswith(b"HTTP/1.1 500 ")
    client.check_over()
