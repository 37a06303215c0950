"""The protocol of a connection, without a connection: bytes in any cut, time, and ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_mesh.bus.errors import BusError


class Talk:
    """A link over a transport in memory."""

    def __init__(self, messages: bool = False) -> None:
        # Late, as this imports the reactor.
        from twisted_mesh.bus.wire import CommandLink, LinkFactory, MessageLink

        self.clock = Clock()
        self.got: list[tuple[bytes, bytes]] = []
        made: Any = (
            MessageLink("a:1", self.clock, lambda *both: self.got.append(both))
            if messages
            else CommandLink("a:1", self.clock)
        )
        self.link: Any = LinkFactory(lambda: made).buildProtocol(None)
        self.transport = StringTransport()
        self.link.makeConnection(self.transport)

    def ask(self, *args: Any, timeout: float = 5.0) -> list[Any]:
        """Ask, and return the list that the outcome is added to."""
        outcome: list[Any] = []
        asked = self.link.ask(args, timeout)
        asked.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
        return outcome

    def receive(self, data: bytes, cut: int = 0) -> None:
        """Receive bytes, in pieces of `cut`."""
        for at in range(0, len(data), cut or len(data)):
            self.link.dataReceived(data[at : at + (cut or len(data))])


def test_it_says_nothing_by_itself() -> None:
    """txredisapi would log in here, and end everything at the first failure."""
    talk = Talk()
    assert talk.transport.value() == b""
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 7])
def test_answers_come_in_any_cut(cut: int) -> None:
    talk = Talk()
    outcomes = [talk.ask("ECHO", str(each), 1, 1.5, b"\xff") for each in range(6)]
    assert talk.transport.value().startswith(b"*5\r\n$4\r\nECHO\r\n$1\r\n0\r\n$1\r\n1\r\n$3\r\n1.5\r\n$1\r\n\xff\r\n")
    talk.receive(b"$3\r\n007\r\n:-7\r\n+QUEUED\r\n*2\r\n$-1\r\n*1\r\n$0\r\n\r\n-ERR no\r\n*-1\r\n", cut)
    assert outcomes[0] == [b"007"]
    assert outcomes[1] == [-7]
    assert outcomes[2] == [b"QUEUED"]
    assert outcomes[3] == [[None, [b""]]]
    assert str(outcomes[4][0]) == "redis a:1: ERR no"
    assert outcomes[5] == [None]
    assert talk.link.unanswered == 0
    assert talk.clock.getDelayedCalls() == []


def test_a_connection_that_cannot_be_written_to_any_more_is_lost_and_nothing_is_raised() -> None:
    """As uvloop does between the end of a connection and the moment when that is told."""
    talk = Talk()
    waiting = talk.ask("GET", "a")
    ended: list[Any] = []
    talk.link.ended.addCallback(ended.append)

    def write(data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    talk.transport.write = write  # type: ignore[method-assign]
    refused = talk.ask("GET", "b")
    assert [each.kind for each in (*waiting, *refused, *ended)] == ["down"] * 3
    assert "the handler is closed" in str(refused[0])
    assert talk.transport.disconnecting or talk.transport.disconnected or talk.transport.aborting
    assert talk.clock.getDelayedCalls() == []


def test_an_answer_that_is_late_ends_all() -> None:
    talk = Talk()
    first, second = talk.ask("GET", "a", timeout=9), talk.ask("GET", "b", timeout=2)
    talk.clock.advance(1.9)
    assert first == second == []
    # Whoever is told looks at the link, and finds that it is no more.
    seen: list[Any] = []
    talk.link.ended.addCallback(lambda why: seen.append((str(why), talk.link.unanswered, list(second))))
    talk.clock.advance(0.2)
    assert seen == [("redis a:1: no answer to GET within 2 s", 2, [])]
    assert [(each.kind, each.sent) for each in (*first, *second)] == [("down", True), ("timeout", True)]
    assert talk.transport.disconnected or talk.transport.disconnecting
    talk.receive(b"+late\r\n")
    talk.link.connectionLost(Failure(ConnectionDone()))
    assert [(each.kind, each.sent) for each in talk.ask("GET", "c")] == [("down", False)]
    assert talk.clock.getDelayedCalls() == []


def test_what_is_no_answer_ends_all() -> None:
    talk = Talk()
    outcome = talk.ask("GET", "a")
    talk.receive(b"<html>")
    assert (outcome[0].kind, talk.link.failure.kind) == ("down", "protocol")
    assert str(talk.link.failure).startswith("redis a:1: not the Redis protocol: ")


def test_a_lost_connection_fails_what_waits() -> None:
    talk = Talk()
    outcome = talk.ask("GET", "a")
    talk.link.connectionLost(Failure(ConnectionDone()))
    assert str(outcome[0]) == "redis a:1: the server closed the connection"
    assert (outcome[0].kind, outcome[0].sent) == ("down", True)
    assert talk.clock.getDelayedCalls() == []


def test_aborting_twice_tells_the_first_reason() -> None:
    talk = Talk()
    talk.link.abort(BusError("down", "first"))
    talk.link.abort(BusError("down", "second"))
    assert str(talk.link.failure) == "first"


def test_a_message_link_takes_no_answer_that_nobody_asked_for() -> None:
    talk = Talk(messages=True)
    talk.receive(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert str(talk.link.failure) == "redis a:1: an answer that nobody asked for"


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_messages_and_acknowledgements_do_not_mix(cut: int) -> None:
    talk = Talk(messages=True)
    outcome = talk.ask("SUBSCRIBE", "c")
    talk.receive(
        b"*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$3\r\n007\r\n"
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\xff\x00\r\n",
        cut,
    )
    assert outcome == [[b"subscribe", b"c", 1]]
    assert talk.got == [(b"b", b"007"), (b"c", b"\xff\x00")]
    pong = talk.ask("PING")
    talk.receive(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n", cut)
    assert pong == [[b"pong", b""]]
