"""Which commands go over a connection of the client's own, and which wait for which."""

from __future__ import annotations

import pytest

from tests.adapters.redis_client import Client


def test_a_transaction_goes_its_own_way_behind_what_was_sent_before() -> None:
    client = Client()
    client.send("SET a 1", "MULTI", "INCR a", "GET a", "EXEC", "GET a")
    # The common way first: it must not be overtaken.
    assert client.seen == ["SET a 1"]
    client.reply(b"+OK\r\n")
    assert client.seen == ["SET a 1", "own INCR a", "own GET a", "own EXEC"]
    client.reply(b"+QUEUED\r\n", b"+QUEUED\r\n")
    assert client.heard() == b"+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n"
    client.reply(b"*2\r\n:2\r\n:2\r\n")
    assert client.seen[-1] == "GET a"
    client.reply(b"$1\r\n2\r\n")
    assert client.heard() == b"*2\r\n:2\r\n:2\r\n$1\r\n2\r\n"


def test_transactions_that_no_server_hears_of() -> None:
    client = Client()
    client.send("EXEC", "DISCARD", "MULTI", "EXEC", "MULTI", "MULTI", "WATCH a", "DISCARD", "UNWATCH")
    assert client.heard().split(b"\r\n")[:-1] == [
        *[b"-ERR EXEC without MULTI", b"-ERR DISCARD without MULTI", b"+OK", b"*0"],
        *[b"+OK", b"-ERR MULTI calls can not be nested", b"-ERR WATCH inside MULTI is not allowed", b"+OK", b"+OK"],
    ]
    assert client.seen == []


@pytest.mark.parametrize("wrong", ["NOSUCH", "GET", "SELECT 1", "SUBSCRIBE a", "DEBUG x", "CLIENT ID"])
def test_what_is_refused_in_a_transaction_spoils_it(wrong: str) -> None:
    client = Client()
    client.send("MULTI", wrong, "EXEC", "GET a")
    lines = client.heard().split(b"\r\n")
    assert lines[1].startswith(b"-ERR ")
    assert lines[2] == b"-EXECABORT Transaction discarded because of previous errors."
    assert client.seen == ["GET a"]


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ([], "-ERR EXEC without MULTI"),
        (["MULTI"], "-ERR EXEC without MULTI"),
        (["MULTI", "NOSUCH"], "-ERR EXEC without MULTI"),
    ],
)
def test_exec_with_arguments_ends_a_transaction(before: list[str], behind: str) -> None:
    client = Client()
    client.send(*before, "EXEC x", "EXEC")
    lines = client.heard().decode().split("\r\n")[len(before) : -1]
    said = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    assert lines == [said, behind]
    assert client.seen == []


def test_a_transaction_at_a_server_is_ended_there_by_exec_with_arguments() -> None:
    client = Client()
    client.send("WATCH a", "MULTI", "SET a 1", "EXEC x y", "GET a")
    client.reply(b"+OK\r\n", b"+QUEUED\r\n", b"-EXECABORT discarded\r\n")
    assert client.seen == ["own WATCH a", "own SET a 1", "own EXEC x y", "GET a"]
    assert client.heard() == b"+OK\r\n+OK\r\n+QUEUED\r\n-EXECABORT discarded\r\n"


def test_what_waits_holds_up_what_comes_behind_it() -> None:
    client = Client()
    client.send("BLPOP q 0", "GET a", "GET b")
    client.send("GET c")
    assert client.seen == ["own BLPOP q 0"]
    assert client.transport.producerState == "paused"
    client.reply(b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n")
    assert client.seen[1:] in (["GET a GET b", "GET c"], ["GET a", "GET b", "GET c"])
    assert client.transport.producerState == "producing"


def test_a_client_that_goes_away_while_it_waits_is_let_go_at_once() -> None:
    client = Client()
    client.send("BLPOP q 0")
    client.protocol.readConnectionLost()
    assert client.transport.ended == "reset"


def test_reading_a_stream_waits_only_if_it_says_so() -> None:
    client = Client()
    client.send("XREAD STREAMS s 0", "XREAD BLOCK 0 STREAMS s 0")
    assert client.seen == ["XREAD STREAMS s 0"]
    client.reply(b"*-1\r\n")
    assert client.seen[1:] == ["own XREAD BLOCK 0 STREAMS s 0"]


def test_what_has_to_wait_is_counted_once() -> None:
    client = Client()
    client.send("GET a", "XREAD BLOCK 0 STREAMS s 0", "GET a", "WATCH a")
    client.reply(b"$-1\r\n")
    client.reply(b"*-1\r\n")
    client.reply(b"$-1\r\n")
    client.reply(b"+OK\r\n")
    rows = client.adapter.rows
    assert [rows.find(each).calls.value for each in (b"GET", b"XREAD", b"WATCH")] == [2, 1, 1]


def test_errors_that_are_said_here_are_counted() -> None:
    client = Client()
    client.send("EXEC", "MULTI", "MULTI", "SELECT 1", "EXEC", "GET a", "CLIENT KILL nowhere")
    client.reply(b"$-1\r\n")
    rows = client.adapter.rows
    assert [rows.find(each).errors.value for each in (b"EXEC", b"MULTI", b"SELECT", b"GET")] == [2, 1, 1, 0]
    assert client.adapter.rows.inner(rows.find(b"CLIENT"), b"KILL").errors.value == 1


def test_a_listener_of_the_old_protocol_may_do_little_else() -> None:
    client = Client()
    client.send("SUBSCRIBE a")
    session = client.calls[0][0].session
    client.protocol.tell(session.confirm("SUBSCRIBE", b"a", 2))
    client.reply(b"")
    client.send("GET a", "PING", "PING x", "SELECT 1")
    said = client.heard()
    assert said.startswith(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n-ERR Can't execute 'get': only (P|S)SUBSCRIBE")
    assert b"*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$1\r\nx\r\n" in said
    assert client.seen == ["own SUBSCRIBE a"]


def test_what_comes_behind_a_subscription_waits_for_it() -> None:
    """In one read: what may be sent, and what there is to unsubscribe from, is known when it is confirmed."""
    client = Client()
    client.send("SUBSCRIBE a", "PING", "UNSUBSCRIBE a", "PING", "GET x")
    assert client.seen == ["own SUBSCRIBE a"]
    session = client.calls[0][0].session
    client.protocol.tell(session.confirm("SUBSCRIBE", b"a", 2))
    client.reply(b"")
    assert client.heard().endswith(b":1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert client.seen[1:] == ["own UNSUBSCRIBE a"]
    client.protocol.tell(session.confirm("UNSUBSCRIBE", b"a", 2))
    client.reply(b"")
    assert client.heard().endswith(b":0\r\n+PONG\r\n")
    assert client.seen[2:] == ["GET x"]
    client.reply(b"$-1\r\n")
    assert client.heard() == b"$-1\r\n"


def test_nothing_to_unsubscribe_from_is_confirmed_here() -> None:
    client = Client()
    client.send("UNSUBSCRIBE", "PUNSUBSCRIBE a b")
    said = client.heard()
    assert said.startswith(b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$1\r\na\r\n:0\r\n")
    assert client.seen == []


def test_answers_that_nobody_wants() -> None:
    client = Client()
    client.send("CLIENT REPLY SKIP", "SET a 1", "GET a")
    client.reply(b"+OK\r\n", b"$1\r\n1\r\n")
    assert client.heard() == b"$1\r\n1\r\n"
    client.send("CLIENT REPLY OFF", "GET a", "PING", "NOSUCH")
    client.reply(b"$1\r\n1\r\n")
    assert client.heard() == b""
    client.send("CLIENT REPLY ON", "PING", "CLIENT REPLY MAYBE")
    assert client.heard() == b"+OK\r\n+PONG\r\n-ERR syntax error\r\n"


def test_a_loss_is_said_and_the_client_closed() -> None:
    client = Client()
    client.send("WATCH a")
    client.reply(b"+OK\r\n")
    client.heard()
    client.calls.clear()
    client.protocol.lose("the server is gone")
    assert client.heard() == b"-MESHFAILURE upstream failure: the server is gone\r\n"
    assert client.transport.ended == "finished"


def test_tracking_takes_everything_along() -> None:
    client = Client()
    client.send("CLIENT CACHING YES", "CLIENT TRACKING OFF", "CLIENT TRACKING ON REDIRECT 5")
    lines = client.heard().split(b"\r\n")
    assert lines[0].startswith(b"-ERR CLIENT CACHING can be called only")
    assert lines[1] == b"+OK"
    assert lines[2].startswith(b"-ERR CLIENT TRACKING with REDIRECT is not supported")
    client.send("CLIENT TRACKING ON", "GET a", "SELECT 1")
    client.reply(b"+OK\r\n")
    assert client.seen == ["own CLIENT TRACKING ON", "own GET a"]
    client.reply(b"$-1\r\n")
    assert b"-ERR 'select' command is not possible while this connection watches, tracks" in client.heard()


def test_who_leaves_within_a_transaction_is_let_go() -> None:
    client = Client()
    client.send("MULTI", "SET a 1", "QUIT", "GET a")
    client.reply(b"+QUEUED\r\n")
    assert client.heard() == b"+OK\r\n+QUEUED\r\n+OK\r\n"
    assert client.transport.ended == "finished"
    assert client.seen == ["own SET a 1"]
    client = Client()
    client.send("MULTI", "QUIT")
    assert client.heard() == b"+OK\r\n+OK\r\n"
    assert client.transport.ended == "finished"


def listening(*before: str) -> Client:
    """A client that has sent something and listens now."""
    client = Client()
    client.send(*before, "SUBSCRIBE a")
    session = client.calls[0][0].session
    client.protocol.tell(session.confirm("SUBSCRIBE", b"a", 2))
    client.reply(b"")
    client.heard()
    return client


def test_what_a_listener_is_refused_in_the_words_of_a_server() -> None:
    client = listening()
    client.send("EXEC", "DISCARD", "PING a b")
    only = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    assert client.heard().decode().split("\r\n")[:-1] == [
        f"-EXECABORT Transaction discarded because of: Can't execute 'exec': {only}",
        f"-ERR Can't execute 'discard': {only}",
        "-ERR wrong number of arguments for 'ping' command",
    ]


def test_who_wants_no_answers_is_told_of_its_subscriptions_all_the_same() -> None:
    """They are no answers: a server sends them as it sends messages."""
    client = Client()
    client.send("CLIENT REPLY OFF", "UNSUBSCRIBE", "PUNSUBSCRIBE a")
    closed = b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$1\r\na\r\n:0\r\n"
    assert client.heard() == closed
    client.send("CLIENT REPLY ON", "CLIENT REPLY SKIP", "UNSUBSCRIBE", "PING")
    assert client.heard() == b"+OK\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n+PONG\r\n"


def test_what_is_closed_is_said_in_its_place() -> None:
    client = Client()
    client.send("GET a", "CLIENT REPLY SKIP", "UNSUBSCRIBE")
    client.reply(b"$-1\r\n")
    assert client.heard() == b"$-1\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"


def test_an_answer_to_reset_that_nobody_wants() -> None:
    client = Client()
    client.send("CLIENT REPLY SKIP", "RESET", "PING", "CLIENT REPLY OFF", "RESET", "PING")
    assert client.heard() == b"+PONG\r\n+RESET\r\n+PONG\r\n"


@pytest.mark.parametrize("behind", ["MULTI", "CLIENT TRACKING OFF", "EXEC", "NOSUCH", "SELECT 1", "CLIENT ID"])
def test_what_comes_behind_a_subscription_is_answered_as_its_listener_is(behind: str) -> None:
    client = Client()
    client.send("SUBSCRIBE a", behind)
    session = client.calls[0][0].session
    client.protocol.tell(session.confirm("SUBSCRIBE", b"a", 2))
    client.reply(b"")
    said = client.heard()
    assert said.startswith(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n-")
    assert b"Can't execute" in said or behind == "NOSUCH"


def test_who_may_not_ask_for_answers_any_more_gets_none() -> None:
    """In one read: that it listens, and may not say CLIENT REPLY ON any more, is known when that is confirmed."""
    client = Client()
    client.send("CLIENT REPLY OFF", "SUBSCRIBE a", "CLIENT REPLY ON")
    session = client.calls[0][0].session
    client.protocol.tell(session.confirm("SUBSCRIBE", b"a", 2))
    client.reply(b"")
    client.send("PING")
    assert client.heard() == b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
