"""A connection that one client has for itself: replies, and what comes between them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bodies import Receiver
from tests.upstream.redis_world import World, body, command
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_pending import PartOfReplies


def test_replies_come_in_the_order_of_commands_in_any_pieces() -> None:
    world = World()
    session = world.session()
    session.watching = True
    first, second = world.send(session, "GET a"), world.send(session, "GET b")
    assert world.heard() == "GET a GET b"
    data = b"$1\r\n1\r\n-ERR no\r\n"
    for at in range(len(data)):
        world.say(data[at : at + 1])
    assert (body(first), body(second)) == (b"$1\r\n1\r\n", b"-ERR no\r\n")
    assert (first.value.errors, second.value.errors) == (0, 1)
    assert world.endpoint.active == 0


def test_nothing_is_sent_before_the_greeting_is_answered() -> None:
    world = World()
    session = world.session()
    session.watching = True
    call = command("GET a", session)
    call.db = 3
    pending = world.sessions(call)
    assert world.heard() == "SELECT 3"
    world.say(b"+OK\r\n")
    assert world.heard() == "GET a"
    world.say(b":1\r\n")
    assert body(pending) == b":1\r\n"


def test_a_greeting_that_is_refused_is_a_failed_connect() -> None:
    world = World()
    session = world.session()
    session.watching = True
    call = command("GET a", session)
    call.db = 3
    pending = world.sessions(call)
    world.say(b"-NOAUTH no\r\n")
    with pytest.raises(MeshError, match="SELECT was refused: NOAUTH no") as caught:
        body(pending)
    assert caught.value.kind is Kind.CONNECT_FAILED
    assert caught.value.retryable
    # Nothing was held there: the session may have another.
    assert session.lanes == {}
    assert not session.spoilt


def test_messages_between_replies_are_told_at_once() -> None:
    world = World()
    session = world.session()
    pending = world.send(session, "SUBSCRIBE a b")
    world.say(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
    assert body(pending) is None
    world.say(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
    assert body(pending) == b""
    assert [each.split(b"\r\n")[2] for each in world.told] == [b"subscribe", b"message", b"subscribe"]
    assert session.names("channel") == [b"a", b"b"]
    assert not session.lanes[None].clean
    closing = world.send(session, "UNSUBSCRIBE")
    assert world.heard() == "SUBSCRIBE a b UNSUBSCRIBE a b"
    world.say(b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n")
    assert body(closing) == b""
    assert session.subscribed == 0
    assert session.lanes[None].clean


def test_a_channel_that_a_server_gives_away_is_told() -> None:
    world = World()
    session = world.session()
    world.send(session, "SSUBSCRIBE a")
    world.say(b"*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n")
    world.say(b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n")
    assert world.told[-1] == b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n"
    assert session.subscribed == 0


def test_a_refused_subscription_is_a_reply() -> None:
    world = World()
    pending = world.send(world.session(), "SUBSCRIBE a")
    world.say(b"-NOPERM no\r\n")
    assert body(pending) == b"-NOPERM no\r\n"
    assert world.told == []


def test_what_monitor_shows() -> None:
    world = World()
    session = world.session()
    pending = world.send(session, "MONITOR")
    world.say(b'+OK\r\n+1.0 [0 a] "GET"\r\n')
    assert body(pending) == b"+OK\r\n"
    assert world.told == [b'+1.0 [0 a] "GET"\r\n']


def test_a_reply_that_nobody_asked_for_ends_it() -> None:
    world = World()
    session = world.session()
    session.tracking = True
    pending = world.send(session, "GET a")
    world.say(b":1\r\n:2\r\n")
    assert body(pending) == b":1\r\n"
    assert world.lost == ["10.0.0.1:6379: a reply that nobody asked for"]


def test_a_key_that_has_moved_is_to_be_tried_again() -> None:
    world = World()
    session = world.session()
    session.watching = True
    pending = world.send(session, "GET a")
    world.say(b"-MOVED 1 10.0.0.2:6379\r\n")
    assert body(pending).startswith(b"-TRYAGAIN")
    assert world.moved == 1


def test_a_slow_client_holds_the_server_back() -> None:
    world = World()
    session = world.session()
    world.send(session, "SUBSCRIBE a")
    transport = world.connector.protocols[-1]._transport
    session.hold(True)
    assert transport.producerState == "paused"
    session.hold(False)
    assert transport.producerState == "producing"


def large(world: World, text: str = "GET a") -> tuple[Any, Any, Receiver]:
    """A session that is watching, one of whose replies has begun; and whoever reads that."""
    session = world.session()
    session.watching = True
    pending = world.send(session, text)
    world.say(b"$600000\r\n" + b"x" * 300_000)
    assert pending.done
    assert session.lanes[None].streams
    return session, pending.value.body, Receiver()


def test_a_large_reply_is_passed_on_as_it_comes() -> None:
    world = World()
    session, stream, reader = large(world)
    behind = world.send(session, "GET b")
    stream.attach(reader)
    assert len(reader.data) == 300_009
    transport = world.connector.protocols[-1]._transport
    stream.pause()
    world.say(b"x" * 100_000)
    assert transport.producerState == "paused"
    # The client as well takes nothing: one of the two is not enough to go on.
    session.hold(True)
    stream.resume()
    assert transport.producerState == "paused"
    session.hold(False)
    assert transport.producerState == "producing"
    world.say(b"x" * 200_000 + b"\r\n$1\r\nb\r\n")
    assert (len(reader.data), reader.ended, body(behind)) == (600_011, True, b"$1\r\nb\r\n")
    assert world.endpoint.active == 0
    assert not (session.lanes[None].lost or session.lanes[None].streams)


def test_a_large_reply_that_breaks_off() -> None:
    world = World()
    session, stream, reader = large(world)
    stream.attach(reader)
    behind = world.send(session, "GET b")
    world.connector.protocols[-1].fail(MeshError(Kind.RESET, "gone"))
    assert isinstance(reader.error, PartOfReplies)
    assert reader.error.inside
    with pytest.raises(MeshError, match="gone"):
        body(behind)
    assert world.endpoint.active == 0


def test_a_large_reply_that_nobody_wants_ends_the_connection() -> None:
    world = World()
    session, stream, _ = large(world)
    stream.cancel()
    assert session.lanes == {}
    assert world.endpoint.active == 0


def test_a_large_message_is_told_when_it_is_whole() -> None:
    world = World()
    session = world.session()
    world.send(session, "SUBSCRIBE a")
    world.say(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$400000\r\n" + b"x" * 400_000 + b"\r\n"
    world.say(message[:300_000])
    assert len(world.told) == 1
    world.say(message[300_000:])
    assert world.told[1:] == [message]


def test_a_client_that_goes_while_it_waits_is_no_longer_counted() -> None:
    world = World()
    session = world.session()
    world.send(session, "BLPOP a 0")
    assert world.endpoint.active == 1
    session.end()
    assert (world.endpoint.active, world.endpoint.failures) == (0, 0)
