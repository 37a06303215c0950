"""Commands become calls: which travel together, which go alone, which are answered or refused here."""

from __future__ import annotations

import pytest

from tests.adapters.redis_listening import Client


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


@pytest.mark.parametrize("change", [("SELECT", "1"), ("HELLO", "3"), ("RESET",)])
def test_what_goes_over_another_connection_waits_for_what_was_sent_before(change: tuple[str, ...]) -> None:
    """Another database or version: MOVE a 1, SELECT 1, GET a must not find that nothing has been moved yet."""
    client = Client()
    if change == ("RESET",):
        client.send(("SELECT", "2"), ("HELLO", "3"))
    client.send(("SET", "a", "1"), ("GET", "a"), change, ("GET", "b"))
    assert shapes(client) == [("SET", 1, True), ("GET", 1, False)]
    client.answer(0, b"+OK\r\n")
    assert len(client.calls) == 2
    client.answer(1, b"$1\r\n1\r\n")
    assert shapes(client)[2:] == [("GET", 1, False)]
    counted = client.adapter.rows.find(change[0].encode())
    assert counted is not None and counted.calls.value == 1


def test_what_changes_nothing_holds_nothing_up() -> None:
    client = Client()
    client.send(("GET", "a"), ("SELECT", "0"), ("HELLO", "2"), ("HELLO",), ("RESET",), ("GET", "b"))
    assert len(client.calls) == 2


def test_a_call_is_at_most_so_many_commands_and_bytes() -> None:
    client = Client()
    client.send(*[("GET", "a")] * 130)
    assert [call.count for call in client.calls] == [64, 64, 2]
    client = Client()
    client.send(*[("SET", "a", "x" * 30_000)] * 5)
    assert [call.count for call in client.calls] == [2, 2, 1]


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


@pytest.mark.parametrize("bound", [False, True])
def test_what_takes_long_to_answer_is_answered_once_in_a_turn_of_the_loop(bound: bool) -> None:
    """252 KB of COMMAND stopped everybody for a minute, and their answers were 3 GB."""
    client = Client()
    if bound:
        client.send(("WATCH", "a"))
        client.answer(0, b"+OK\r\n")
    assert client.heard in (b"", b"+OK\r\n")
    client.connection.dataReceived(b"COMMAND LIST FILTERBY PATTERN get\r\n" * 3 + b"PING\r\n")
    answer = b"*1\r\n$3\r\nget\r\n"
    turns = 0
    heard = b""
    while client.waiting:
        client.turn_once()
        turns += 1
        heard += client.heard
    assert heard == 3 * answer + b"+PONG\r\n"
    assert turns >= 3
    assert client.transport.producerState == "producing"


def test_what_takes_long_is_not_answered_while_the_client_takes_nothing() -> None:
    client = Client()
    client.connection.dataReceived(b"COMMAND LIST\r\nPING\r\n")
    client.transport.producer.pauseProducing()
    client.turn()
    assert b"PONG" not in client.heard
    client.transport.producer.resumeProducing()
    client.turn()
    assert client.heard == b"+PONG\r\n"


def test_large_answers_that_wait_are_few() -> None:
    client = Client()
    client.send(("GET", "a"), *[("ECHO", "x" * 1_000_000)] * 3)
    assert client.transport.producerState == "producing"
    client.send(("ECHO", "x" * 1_000_000), ("ECHO", "x" * 1_000_000))
    assert client.transport.producerState == "paused"
    client.answer(0, b"$-1\r\n")
    assert len(client.heard) > 5_000_000
    assert client.transport.producerState == "producing"
    assert client.connection._in_flight == 0


@pytest.mark.parametrize("behind", [(), (("CLIENT", "UNPAUSE"),)])
def test_what_is_behind_a_pause_is_taken_once(behind: tuple[tuple[str, ...], ...]) -> None:
    client = Client()
    client.send(("CLIENT", "PAUSE", "1000"), *behind, ("PING",), ("GET", "a"))
    client.env.time.advance(2)
    client.turn()
    client.answer(0, b"$-1\r\n")
    assert client.heard == b"+OK\r\n" * (1 + len(behind)) + b"+PONG\r\n$-1\r\n"
    assert len(client.calls) == 1
