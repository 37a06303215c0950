"""Large values go as fast as both sides take them, and end where they end."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.bodies import Receiver
from tests.upstream.redis_servers import Upstream, body, failure
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.stream import ByteStream


def test_a_large_reply_is_passed_on_as_it_comes(upstream: Upstream) -> None:
    call, next_one = upstream.send("GET a", "GET b", "GET c"), upstream.send("GET d")
    upstream.say(b"+first\r\n$1000000\r\n" + b"x" * 300_000)
    stream = body(call)
    assert isinstance(stream, ByteStream)
    reader = Receiver()
    stream.attach(reader)
    upstream.say(b"x" * 700_000)
    upstream.say(b"\r\n+third\r\n+fourth\r\n")
    assert reader.data == b"+first\r\n$1000000\r\n" + b"x" * 1_000_000 + b"\r\n+third\r\n"
    assert reader.ended
    assert body(next_one) == b"+fourth\r\n"


@pytest.mark.parametrize("inside", [True, False])
def test_a_large_reply_that_is_cut_says_where(upstream: Upstream, inside: bool) -> None:
    call = upstream.send("GET a", "GET b")
    upstream.say(b"$1000000\r\n" + b"x" * 300_000)
    reader = Receiver()
    body(call).attach(reader)
    if not inside:
        upstream.say(b"x" * 700_000 + b"\r\n")
    upstream.server().connectionLost(Failure(ConnectionLost()))
    assert isinstance(reader.error, PartOfReplies)
    assert (reader.error.answered, reader.error.inside) == (0, True) if inside else (1, False)


def test_a_slow_reader_holds_back_its_own_connection_and_others_get_another(upstream: Upstream) -> None:
    call = upstream.send("GET a")
    upstream.say(b"$1000000\r\n" + b"x" * 300_000)
    assert upstream.server().held
    other = upstream.send("GET b")
    upstream.introduced(1)
    upstream.say(b"+b\r\n", 1)
    assert body(other) == b"+b\r\n"
    body(call).attach(Receiver())
    assert not upstream.server().held


def test_a_large_reply_that_nobody_wants_ends_its_connection_if_nobody_waits_behind_it(upstream: Upstream) -> None:
    """It may be long, or never end."""
    call = upstream.send("GET a")
    upstream.say(b"*1000000000\r\n" + b":1\r\n" * 100_000)
    body(call).attach(Receiver())
    server = upstream.server()
    body(call).cancel()
    assert server.lost and server.error is not None
    assert (server.error.kind, server.error.origin) == (Kind.CLIENT_GONE, Origin.CLIENT)
    other = upstream.send("GET b")
    upstream.introduced(1)
    upstream.say(b"+b\r\n", 1)
    assert body(other) == b"+b\r\n"


def test_who_waits_behind_a_reply_that_nobody_wants_has_its_own(upstream: Upstream) -> None:
    call, behind = upstream.send("GET a"), upstream.send("GET b")
    upstream.say(b"$1000000\r\n" + b"x" * 300_000)
    body(call).cancel()
    server = upstream.server()
    assert server.held and not server.lost
    other = upstream.send("GET c")
    upstream.introduced(1)
    upstream.say(b"+c\r\n", 1)
    assert body(other) == b"+c\r\n"
    upstream.say(b"x" * 700_000 + b"\r\n+b\r\n")
    assert body(behind) == b"+b\r\n"
    assert not server.held and not server.lost


def test_a_reply_without_an_end_ends_with_those_who_wait_behind_it(upstream: Upstream) -> None:
    call, behind = upstream.send("GET a"), upstream.send("GET b")
    upstream.say(b"*1000000000\r\n" + b":1\r\n" * 100_000)
    body(call).cancel()
    server = upstream.server()
    for _ in range(16):
        upstream.env.clock.advance(1)
        if not server.lost:
            server.dataReceived(b":1\r\n" * 1000)
    assert failure(behind).kind is Kind.TIMEOUT
    assert server.lost and server.error is not None
    assert server.error.detail == "10.0.0.1:6379: a reply has no end"


def test_a_large_command_goes_out_as_it_comes_on_a_connection_of_its_own(upstream: Upstream) -> None:
    stream = ByteStream()
    stream.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
    pending = upstream.send("SET k", write=True, body=stream)
    upstream.introduced(1)
    other = upstream.send("GET x")
    upstream.say(b"+x\r\n")
    assert body(other) == b"+x\r\n"
    stream.write(b"cde\r\n")
    stream.end()
    assert upstream.seen(1) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nabcde\r\n"
    upstream.say(b"+OK\r\n", 1)
    assert body(pending) == b"+OK\r\n"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MeshError(Kind.CLIENT_GONE), Kind.CLIENT_GONE),
        (Cancelled(Kind.TIMEOUT), Kind.CLIENT_GONE),
        (MeshError(Kind.BAD_REQUEST), Kind.BAD_REQUEST),
    ],
)
def test_a_large_command_that_is_given_up_ends_its_connection(
    upstream: Upstream, error: BaseException, kind: Kind
) -> None:
    stream = ByteStream()
    stream.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
    pending = upstream.send("SET k", write=True, body=stream)
    upstream.introduced(1)
    stream.fail(error)
    assert upstream.server(1).lost
    assert not upstream.server(0).lost
    assert failure(pending).kind is kind


def test_a_large_command_whose_connection_has_just_broken_fails_as_others_there_do(upstream: Upstream) -> None:
    stream = ByteStream()
    stream.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
    pending = upstream.send("SET k", write=True, body=stream)
    server = upstream.server(1)
    # What a transport does once it is disconnected, before it says so.
    server._transport.registerProducer = lambda producer, streaming: producer.stopProducing()
    upstream.introduced(1)
    assert not pending.done
    server.connectionLost(Failure(ConnectionLost()))
    assert failure(pending).kind is Kind.RESET


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_server_has_not_taken_of_a_value_keeps_others_off_its_connection(
    upstream: Upstream, whole: bool
) -> None:
    """They would become part of the value."""
    stream = ByteStream()
    stream.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
    call = upstream.send("SET k", write=True, body=stream).call
    upstream.introduced(1)
    upstream.server(1)._transport.producer.pauseProducing()
    stream.write(b"cde\r\n" if whole else b"c")
    if whole:
        stream.end()
    else:
        stream.fail(MeshError(Kind.CLIENT_GONE))
    # Its client has gone, or its time is over.
    call.complete(upstream.env.now(), lambda completion: pytest.fail(f"{completion} failed"))
    assert upstream.server(1).lost
    assert not upstream.server(0).lost


def test_a_connection_that_a_value_went_over_is_used_again(upstream: Upstream) -> None:
    for _ in range(2):
        stream = ByteStream()
        stream.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")
        pending = upstream.send("SET k", write=True, body=stream)
        if not upstream.server(1).ready:
            upstream.introduced(1)
        stream.write(b"cde\r\n")
        stream.end()
        upstream.say(b"+OK\r\n", 1)
        assert body(pending) == b"+OK\r\n"
        assert upstream.server(1).taken
        pending.call.complete(upstream.env.now(), lambda completion: pytest.fail(f"{completion} failed"))
        assert not upstream.server(1).taken
    assert upstream.pool.open == 2
