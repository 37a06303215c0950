"""CLIENT PAUSE, among the clients of one listener."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.redis_client import Client


def two() -> tuple[Client, Client]:
    """Two clients of one listener, the second of which the calls come to."""
    one = Client()
    other = Client(one.adapter)
    other.env = one.env
    return one, other


def test_everything_waits_until_the_time_is_over() -> None:
    one, other = two()
    one.send("CLIENT PAUSE 1000", "PING", "GET a")
    assert one.heard() == b"+OK\r\n"
    other.send("GET b", "NOSUCH")
    third = Client(one.adapter)
    third.send("PING", "CLIENT UNPAUSE")
    assert (other.heard(), third.heard(), other.seen, third.seen) == (b"", b"", [], [])
    assert other.transport.producerState == "paused"
    one.env.time.advance(0.9)
    assert one.heard() == b""
    one.env.time.advance(0.2)
    assert one.heard() == b"+PONG\r\n"
    assert third.seen == ["GET a", "GET b"]
    assert third.heard() == b"+PONG\r\n+OK\r\n"
    third.reply(b"$1\r\nA\r\n", b"$1\r\nB\r\n")
    assert one.heard() == b"$1\r\nA\r\n"
    assert other.heard().startswith(b"$1\r\nB\r\n-ERR unknown command 'NOSUCH'")
    assert other.transport.producerState == "producing"
    assert one.adapter.pause is None
    assert other.protocol.binding is None


@pytest.mark.parametrize(
    ("command", "waits"),
    [
        ("SET a 1", True),
        ("MSET a 1 b 2", True),
        ("EVAL x 0", True),
        ("PUBLISH a b", True),
        ("PFCOUNT a", True),
        ("BLPOP a 0", True),
        ("FLUSHALL", True),
        ("GET a", False),
        ("MGET a b", False),
        ("EVAL_RO x 0", False),
        ("PING", False),
        ("MULTI", False),
        ("NOSUCH", False),
        ("GET", False),
    ],
)
def test_writes_wait(command: str, waits: bool) -> None:
    one, other = two()
    one.send("CLIENT PAUSE 1000 WRITE")
    other.send(command, "GET behind")
    assert (not any("GET behind" in each for each in other.seen)) is waits
    assert (not other.seen and not other.heard()) is waits
    one.send("CLIENT UNPAUSE")
    other.loop.turn()
    assert one.heard() == b"+OK\r\n+OK\r\n"
    if command != "BLPOP a 0":
        assert other.seen[-1].endswith("GET behind")


def test_what_has_been_queued_waits_if_it_may_change_something() -> None:
    one, other = two()
    other.send("MULTI", "SET a 1")
    other.reply(b"+QUEUED\r\n")
    third = Client(one.adapter)
    third.send("MULTI", "GET a")
    one.send("CLIENT PAUSE 1000 WRITE")
    for each in (other, third):
        each.send("EXEC")
    assert third.seen == ["own GET a", "own EXEC"]
    one.env.time.advance(1.1)
    third.loop.turn()
    assert third.seen[2:] == ["own EXEC"]


def test_a_pause_is_never_shorter_and_everything_is_more_than_writes() -> None:
    one, other = two()
    one.send("CLIENT PAUSE 1000 WRITE", "CLIENT PAUSE 100 ALL")
    assert one.heard() == b"+OK\r\n+OK\r\n"
    one.env.time.advance(0.5)
    other.send("GET a")
    assert other.seen == []
    one.env.time.advance(0.6)
    assert other.seen == ["GET a"]


def test_a_large_value_is_not_kept_meanwhile() -> None:
    one, other = two()
    one.send("CLIENT PAUSE 1000 WRITE")
    other.protocol.dataReceived(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$600000\r\n" + b"x" * 300_000)
    assert other.transport.producerState == "paused"
    one.env.time.advance(1.1)
    assert other.transport.producerState == "producing"
    other.protocol.dataReceived(b"x" * 100_000)
    call: Any = other.calls[0][0]
    assert call.operation == "SET" and not isinstance(call.body, bytes)


def test_a_drain_ends_it() -> None:
    one, other = two()
    one.send("CLIENT PAUSE 100000")
    other.send("GET a")
    one.adapter.drain()
    assert other.seen == ["GET a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("x", b"-ERR timeout is not an integer or out of range\r\n"),
        ("99999999999999999999", b"-ERR timeout is not an integer or out of range\r\n"),
        ("-1", b"-ERR timeout is negative\r\n"),
        ("10 SOME", b"-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
        ("0", b"+OK\r\n"),
    ],
)
def test_what_is_no_pause(words: str, said: bytes) -> None:
    one, _ = two()
    one.send(f"CLIENT PAUSE {words}", "CLIENT UNPAUSE")
    assert one.heard() == said + b"+OK\r\n"
    assert one.adapter.pause is None
