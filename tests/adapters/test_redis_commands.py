"""Commands become calls: which travel together, which go alone, which are answered or refused here."""

from __future__ import annotations

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import Pending, RedisCall, RedisReply


def shapes(client: Client) -> list[tuple[str, int, bool]]:
    return [(call.operation, call.count, call.write) for call in client.calls]


def test_neighbours_of_one_class_are_one_call() -> None:
    client = Client()
    client.send(("GET", "a"), ("STRLEN", "b"), ("SET", "a", "1"), ("INCR", "n"), ("GET", "c"))
    assert shapes(client) == [("GET", 2, False), ("SET", 2, True), ("GET", 1, False)]
    first = client.calls[0]
    assert [first.words(at) for at in range(2)] == [[b"GET", b"a"], [b"STRLEN", b"b"]]
    assert (first.key, first.resource, first.body) == (
        b"a",
        "a",
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\nb\r\n",
    )
    assert client.calls[1].body == b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
    assert client.calls[1].words(1) == [b"INCR", b"n"]


@pytest.mark.parametrize(
    "alone",
    [
        ("MGET", "a", "b"),
        ("DEL", "a"),
        ("SINTER", "a", "b"),
        ("EVAL", "return 1", "1", "a"),
        ("DBSIZE",),
        ("SORT", "a"),
    ],
)
def test_some_commands_are_calls_of_their_own(alone: tuple[str, ...]) -> None:
    client = Client()
    client.send(("GET", "x"), alone, alone, ("GET", "y"))
    assert [call.operation for call in client.calls] == ["GET", alone[0], alone[0], "GET"]
    assert client.calls[1].key == (b"" if alone == ("DBSIZE",) else b"a")


def test_a_call_is_at_most_so_many_commands_and_bytes() -> None:
    client = Client()
    client.send(*[("GET", "a")] * 130)
    assert [call.count for call in client.calls] == [64, 64, 2]
    client = Client()
    client.send(*[("SET", "a", "x" * 30_000)] * 5)
    assert [call.count for call in client.calls] == [2, 2, 1]


def test_what_a_call_knows_of_its_client() -> None:
    client = Client()
    client.send(("HELLO", "3"), ("SELECT", "2"), ("GET", "a"))
    call = client.calls[0]
    assert (call.db, call.resp, call.version) == (2, 3, "3")
    assert (call.peer, call.client, call.protocol, call.listener) == ("192.0.2.1:5", "192.0.2.1", "redis", "cache")
    assert call.id == client.connection.call_id


def test_refused_commands_are_answered_in_their_place() -> None:
    client = Client()
    client.send(("GET", "a"), ("NOSUCH",), ("GET",), ("SHUTDOWN",), ("CONFIG", "NOSUCH"), ("GET", "b"))
    assert client.heard == b""
    client.answer(0, b"$1\r\n1\r\n")
    said = client.heard.split(b"\r\n")
    assert said[:3] == [b"$1", b"1", b"-ERR unknown command 'NOSUCH', with args beginning with: "]
    assert said[3] == b"-ERR wrong number of arguments for 'get' command"
    assert said[4] == b"-ERR SHUTDOWN concerns one server and not the data; ask that server itself"
    assert said[5] == b"-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP."
    client.answer(1, b"$1\r\n2\r\n")
    assert client.heard == b"$1\r\n2\r\n"


@pytest.mark.parametrize(
    "begins", [b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: cache\r\n", b"*1\r\n$4\r\npost\r\n"]
)
def test_a_browser_is_not_listened_to(begins: bytes) -> None:
    """As with a server: or the body of a form that some page has sent would be commands."""
    client = Client()
    client.connection.dataReceived(begins + b"SET a 1\r\n")
    assert client.transport.disconnecting or client.connection.gone
    assert (client.transport.taken(), client.calls) == (b"", [])
    assert client.env.count("twisted_mesh_redis_protocol_errors_total", "cache") == 1


def test_more_than_so_many_at_once_wait_also_within_one_read() -> None:
    client = Client(pipelined=4)
    client.send(*[("GET", "a"), ("SET", "a", "1")] * 5)
    assert len(client.calls) == 4
    assert client.transport.producerState == "paused"
    for at in range(4):
        client.answer(at, b"+%d\r\n" % at)
    assert len(client.calls) == 8
    for at in range(4, 10):
        client.answer(at, b"+%d\r\n" % at)
    assert client.heard == b"".join(b"+%d\r\n" % at for at in range(10))
    assert client.transport.producerState == "producing"


def test_what_comes_behind_a_call_that_is_tried_again_waits_for_it() -> None:
    client = Client()
    client.send(("GET", "a"))
    assert client.connection.repeats(client.calls[0])
    client.send(("SET", "a", "1"), ("GET", "a"))
    assert len(client.calls) == 1
    client.answer(0, b"$1\r\n0\r\n")
    assert [call.operation for call in client.calls] == ["GET", "SET", "GET"]


def test_what_waits_in_a_filter_is_not_overtaken_by_what_comes_behind_it() -> None:
    """A filter may wait for some calls and not for others: what a server gets is in order all the same."""
    asked: Parked[None] = Parked()
    sent: list[Pending] = []

    def forward(call: RedisCall) -> Pending:
        if call.held is not None:
            call.held()
        call.attempts += 1
        sent.append(Pending(call))
        return sent[-1]

    async def limited(call: RedisCall) -> RedisReply:
        await asked
        return await forward(call)

    client = Client(lambda call: limited(call) if call.key == b"slow" else forward(call))
    client.send(("SET", "slow", "1"), ("MGET", "a", "slow"), ("PING",), ("SET", "slow", "2"))
    client.send(("GET", "a"))
    assert sent == []
    asked.fire(None)
    client.turn()
    # None of them waits for the replies of those before it.
    assert [each.call.operation for each in sent] == ["SET", "MGET", "SET", "GET"]
    for each in reversed(sent):
        each.fire(RedisReply(b"+%s\r\n" % each.call.operation.encode()))
    assert client.heard == b"+SET\r\n+MGET\r\n+PONG\r\n+SET\r\n+GET\r\n"


def test_what_a_filter_refuses_after_a_wait_lets_the_others_go_on() -> None:
    asked: Parked[None] = Parked()
    sent: list[Pending] = []

    async def limited(call: RedisCall) -> RedisReply:
        await asked
        raise MeshError(Kind.RATE_LIMITED)

    def forward(call: RedisCall) -> Pending:
        sent.append(Pending(call))
        return sent[-1]

    client = Client(lambda call: limited(call) if call.write else forward(call))
    client.send(("SET", "a", "1"), ("GET", "a"))
    assert sent == []
    asked.fire(None)
    client.turn()
    sent[0].fire(RedisReply(b"$-1\r\n"))
    assert client.heard == b"-MESHLIMIT rate limited\r\n$-1\r\n"


@pytest.mark.parametrize(
    ("first", "then", "may"),
    [
        (("GET", "a"), ("MGET", "a"), True),
        (("GET", "a"), ("SET", "a", "1"), False),
        (("SET", "a", "1"), ("GET", "a"), False),
        (("SET", "a", "1"), ("PING",), True),
    ],
)
def test_what_is_tried_again_must_overtake_nothing(first: tuple[str, ...], then: tuple[str, ...], may: bool) -> None:
    client = Client()
    client.send(first, then)
    assert client.connection.repeats(client.calls[0]) is may


def test_a_large_value_is_a_stream_once_its_key_is_known() -> None:
    client = Client()
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    call = client.calls[0]
    assert (call.operation, call.key, call.write, call.received) == ("SET", b"k", True, 0.0)
    stream = call.body
    assert not isinstance(stream, bytes)
    client.send(b"x" * 300_000 + b"\r\n", ("GET", "k"))
    assert stream.ended
    assert call.received == client.env.now()
    assert call.bytes_in == stream.size == 600_000 + 31
    client.answer(0, b"+OK\r\n")
    assert [each.operation for each in client.calls] == ["SET", "GET"]


def test_a_large_value_overtakes_nothing_and_is_not_overtaken() -> None:
    """It goes over a connection of its own, and its client's other commands over another."""
    client = Client()
    client.send(("GET", "k"), ("GET", "k"), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert [each.operation for each in client.calls] == ["GET"]
    client.answer(0, b"$1\r\n1\r\n" * 2)
    assert [each.operation for each in client.calls] == ["GET", "SET"]
    client.send(b"x" * 300_000 + b"\r\n", ("GET", "k"))
    assert len(client.calls) == 2
    client.answer(1, b"+OK\r\n")
    assert [each.operation for each in client.calls] == ["GET", "SET", "GET"]
    client.answer(2, b"$1\r\nx\r\n")
    assert client.heard == b"$1\r\n1\r\n" * 2 + b"+OK\r\n$1\r\nx\r\n"


def test_large_values_one_behind_the_other_with_something_in_between() -> None:
    client = Client()
    value = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n" + b"x" * 270_000
    rest = b"x" * 30_000 + b"\r\n"
    client.send(("GET", "k"), value)
    for _ in range(2):
        client.send(rest, ("GET", "k"), value)
    client.send(rest)
    for at in range(6):
        assert len(client.calls) == at + 1
        client.answer(at, b"+%d\r\n" % at)
    assert [each.operation for each in client.calls] == ["GET", "SET"] * 3
    assert client.heard == b"".join(b"+%d\r\n" % at for at in range(6))


def test_a_large_command_whose_servers_are_not_known_is_kept_whole() -> None:
    client = Client()
    client.send(b"*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert client.calls == []
    client.send(b"x" * 300_000 + b"\r\n")
    assert client.calls[0].bytes_in == 600_000 + 32


def test_a_large_value_that_nobody_wants_is_read_and_the_client_goes_on() -> None:
    def refuse(call: RedisCall) -> None:
        raise MeshError(Kind.DENIED, "not here")

    client = Client(refuse)
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert client.heard == b"-MESHDENY denied: not here\r\n"
    client.send(b"x" * 300_000 + b"\r\n", ("PING",))
    assert client.heard == b"+PONG\r\n"
