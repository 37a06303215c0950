"""Replies, in whatever pieces they come: every call gets its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.redis_servers import Upstream, body, failure
from twisted_mesh.errors import Kind


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 1000])
def test_replies_may_come_in_any_pieces(upstream: Upstream, size: int) -> None:
    calls = [
        upstream.send("GET a"),
        upstream.send("GET b", "GET c", "GET d"),
        upstream.send("LRANGE l"),
        upstream.send("GET e"),
    ]
    replies = b"$3\r\na\r\n\r\n-ERR b\r\n$-1\r\n:1\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n+e\r\n"
    for at in range(0, len(replies), size):
        upstream.say(replies[at : at + size])
    assert [body(each) for each in calls] == [
        b"$3\r\na\r\n\r\n",
        b"-ERR b\r\n$-1\r\n:1\r\n",
        b"*2\r\n$1\r\nx\r\n*1\r\n:1\r\n",
        b"+e\r\n",
    ]
    assert [each.value.errors for each in calls] == [0, 1, 0, 0]
    assert [kind for kind, _, _ in calls[1].value.answers] == [ord("-"), ord("$"), ord(":")]


@pytest.mark.parametrize("size", [1, 70, 5000])
def test_errors_between_values_of_any_size_are_counted(upstream: Upstream, size: int) -> None:
    calls = [upstream.send("GET a"), upstream.send("GET b", "GET c"), upstream.send("GET d")]
    value = b"$%d\r\n%b\r\n" % (size, b"-" * size)
    upstream.say(value + value + b"-ERR b\r\n" + b"!5\r\nERR d\r\n")
    assert [each.value.errors for each in calls] == [0, 1, 1]


def test_a_whole_reply_before_one_that_is_not_is_given_without_it(upstream: Upstream) -> None:
    first, second = upstream.send("GET a"), upstream.send("GET b")
    upstream.say(b"$1\r\na\r\n$1\r\n")
    assert body(first) == b"$1\r\na\r\n"
    upstream.say(b"b\r\n")
    assert body(second) == b"$1\r\nb\r\n"


def test_pushes_are_nobodys_reply() -> None:
    upstream = Upstream()
    call = upstream.send("GET a", resp=3)
    assert upstream.introduced().startswith(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
    upstream.say(b">2\r\n+invalidate\r\n*1\r\n+a\r\n$1\r\n1\r\n>1\r\n+x\r\n")
    assert body(call) == b"$1\r\n1\r\n"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400\r\n", b"$x\r\n"])
def test_nonsense_ends_the_connection(upstream: Upstream, data: bytes) -> None:
    call = upstream.send("GET a")
    upstream.say(data)
    assert upstream.server().lost
    assert failure(call).kind is Kind.BAD_REPLY


@pytest.mark.parametrize("more", [b"+2\r\n", b"$1000000\r\n" + b"x" * 300_000])
def test_a_reply_that_nobody_asked_for_ends_the_connection(upstream: Upstream, more: bytes) -> None:
    call = upstream.send("GET a")
    upstream.say(b"+1\r\n" + more)
    assert body(call) == b"+1\r\n"
    server = upstream.server()
    assert server.lost and server.error is not None
    assert (server.error.kind, server.error.detail) == (
        Kind.BAD_REPLY,
        "10.0.0.1:6379: a reply that nobody asked for",
    )


class Judge:
    """Hears what is said of an endpoint."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def ended(self, call: Any, status: int, kind: Any, seconds: float) -> None:
        assert kind is None
        self.statuses.append(status)


@pytest.mark.parametrize(
    ("commands", "replies", "status"),
    [
        (["GET a"], b"-LOADING Redis is loading the dataset in memory\r\n", 503),
        (["SET a 1"], b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", 429),
        (["GET a"], b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", 0),
        (["GET a"], b"+LOADING\r\n", 0),
        # A call counts once, by the worst of its replies.
        (["GET a", "GET b", "GET c"], b"+a\r\n-BUSY a script\r\n-BUSY a script\r\n", 503),
        (["GET a", "GET b", "GET c"], b"-WRONGTYPE x\r\n$9\r\n-LOADING \r\n+c\r\n", 0),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_server_that_says_it_is_not_well_is_taken_at_its_word_once_for_a_call(
    upstream: Upstream, commands: list[str], replies: bytes, status: int, cut: bool
) -> None:
    judge: Any = Judge()
    upstream.endpoint.conduct = judge
    before = upstream.endpoint.successes
    call = upstream.send(*commands)
    cuts = [replies[:-1], replies[-1:]] if cut else [replies]
    for each in cuts:
        upstream.say(each)
    assert body(call) == replies
    assert judge.statuses == [status]
    good, bad = (0, len(commands)) if status else (len(commands), 0)
    assert (upstream.endpoint.successes - before, upstream.endpoint.failures) == (good, bad)
    assert upstream.endpoint.active == 0
    assert upstream.env.count("upstream_calls_total", "redis", "main", "-", "-") == len(commands) + 1
