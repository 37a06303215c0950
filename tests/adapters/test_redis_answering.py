"""Answers leave in order, whatever the order in which they come; who reads slowly is not read."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.stream import ByteStream, Trailers


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_answers_leave_in_the_order_of_the_commands(order: tuple[int, ...]) -> None:
    client = Client()
    client.send(("GET", "a"), ("ECHO", "x"), ("SET", "a", "1"), ("PING",), ("GET", "b"))
    for number in order:
        client.answer(number, b"+%d\r\n" % number)
    assert client.heard == b"+0\r\n$1\r\nx\r\n+1\r\n+PONG\r\n+2\r\n"
    assert [call.bytes_out for call in client.calls] == [4, 4, 4]
    assert len(client.ended) == 3
    assert not client.connection.queue


def test_an_answer_in_pieces_waits_for_its_turn_and_holds_up_those_behind() -> None:
    client = Client()
    client.send(("SET", "a", "1"), ("GET", "a"), ("SET", "b", "1"))
    stream = ByteStream()
    stream.write(b"$6\r\nab")
    client.pending[1].fire(RedisReply(stream))
    client.answer(2, b"+third\r\n")
    assert client.heard == b""
    client.answer(0, b"+first\r\n")
    assert client.heard == b"+first\r\n$6\r\nab"
    stream.write(b"cd")
    assert client.heard == b"cd"
    stream.write(b"ef\r\n")
    stream.end()
    client.turn()
    assert client.heard == b"ef\r\n+third\r\n"
    assert client.calls[1].bytes_out == 12


def test_a_slow_reader_holds_back_what_comes_in_pieces_and_is_not_read() -> None:
    client = Client()
    client.send(("GET", "a"))

    class Producer:
        paused = 0

        def pauseProducing(self) -> None:
            self.paused += 1

        def resumeProducing(self) -> None:
            self.paused -= 1

        def stopProducing(self) -> None:
            """It ends anyway."""

    producer = Producer()
    stream = ByteStream(producer)
    client.pending[0].fire(RedisReply(stream))
    client.transport.producer.pauseProducing()
    stream.write(b"x" * 100_000)
    assert producer.paused == 1
    assert client.transport.producerState == "paused"
    client.transport.producer.resumeProducing()
    assert producer.paused == 0
    assert client.transport.producerState == "producing"
    assert len(client.heard) == 100_000


class Lane:
    """A connection of the client's own."""

    def __init__(self, streams: bool) -> None:
        self.streams = streams
        self.held = self.clean = False

    def hold(self, waiting: bool) -> None:
        self.held = waiting


def test_a_message_does_not_come_inside_of_a_large_reply() -> None:
    client = Client()
    client.send(("HELLO", "3"), ("SUBSCRIBE", "a"))
    assert client.calls[0].session is not None
    session = client.calls[0].session
    confirmed = session.confirm("SUBSCRIBE", b"a", 3)
    client.answer(0, b"")
    message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
    client.heard  # noqa: B018  # taken
    client.connection.tell(confirmed + message)
    assert client.heard == confirmed + message
    reads, tells = Lane(True), Lane(False)
    session.lanes.update(reads=reads, tells=tells)
    client.send(("GET", "a"), ("GET", "b"))
    first, second = ByteStream(), ByteStream()
    first.write(b"$600000\r\n")
    client.pending[1].fire(RedisReply(first))
    client.pending[2].fire(RedisReply(second))
    second.write(b"$6\r\nab")
    client.connection.tell(message)
    client.connection.tell(message)
    assert client.heard == b"$600000\r\n"
    # Nothing more of them is read until they are told; what brings the reply is.
    assert (tells.held, reads.held) == (True, False)
    client.transport.producer.pauseProducing()
    assert (tells.held, reads.held) == (True, True)
    client.transport.producer.resumeProducing()
    assert (tells.held, reads.held) == (True, False)
    first.write(b"x\r\n")
    first.end()
    client.turn()
    assert client.heard == b"x\r\n" + 2 * message + b"$6\r\nab"
    assert (tells.held, reads.held) == (False, False)
    client.connection.tell(message)
    second.fail(PartOfReplies(MeshError(Kind.RESET, "lost"), b"", 0, inside=False))
    client.turn()
    assert client.heard == message + b"-MESHFAILURE upstream failure: lost\r\n"
    session.lanes.clear()


def test_what_had_come_before_a_server_was_lost_is_passed_on() -> None:
    client = Client()
    client.send(*[("GET", "a")] * 3)
    lost = MeshError(Kind.RESET, "server was lost", origin=Origin.UPSTREAM)
    client.pending[0].fail(PartOfReplies(lost, b"$1\r\n1\r\n", 1))
    client.turn()
    assert client.heard == b"$1\r\n1\r\n" + b"-MESHFAILURE upstream failure: server was lost\r\n" * 2
    assert client.calls[0].flags == ("UR",)


def test_replies_in_pieces_that_end_between_two_are_made_up_with_errors() -> None:
    client = Client()
    client.send(*[("GET", "a")] * 3)
    stream = ByteStream()
    client.pending[0].fire(RedisReply(stream, 3))
    stream.write(b"$1\r\n1\r\n")
    stream.fail(PartOfReplies(MeshError(Kind.RESET, "lost"), b"", 1))
    client.turn()
    assert client.heard == b"$1\r\n1\r\n" + b"-MESHFAILURE upstream failure: lost\r\n" * 2


def test_a_reply_that_is_cut_inside_ends_the_connection() -> None:
    client = Client()
    client.send(("GET", "a"))
    stream = ByteStream()
    client.pending[0].fire(RedisReply(stream))
    stream.write(b"$100\r\n1")
    stream.fail(PartOfReplies(MeshError(Kind.RESET, "lost"), b"", 0, inside=True))
    assert client.connection.gone
    assert client.ended[0].details == "the reply was cut"
    assert len(client.ended) == 1


class Sink:
    """Takes a body."""

    def body_data(self, data: bytes) -> None:
        """It is taken."""

    def body_ended(self, trailers: Trailers) -> None:
        """So it was."""

    def body_failed(self, error: BaseException) -> None:
        """Nobody minds."""


def test_a_value_that_stands_still_is_given_up_unless_it_is_held_back_here() -> None:
    client = Client(stalled=5.0)
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    client.env.time.advance(10)
    assert not client.connection.gone
    stream = client.calls[0].body
    assert isinstance(stream, ByteStream)
    stream.attach(Sink())
    client.send(b"x")
    client.env.time.advance(4)
    client.send(b"x")
    client.env.time.advance(4.5)
    assert not client.connection.gone
    client.env.time.advance(1)
    assert client.connection.gone
    assert client.ended[0].details == "a value stood still for 5 s"
    assert client.env.count("twisted_mesh_redis_stalled_total", "cache") == 1
