"""One connection that many share: what is sent in which order, and what becomes of those who wait when it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.filters.redis_calls import several
from tests.upstream.redis_servers import Upstream, body, failure
from twisted_mesh.errors import Kind
from twisted_mesh.redis_pending import PartOfReplies, Pending


def test_what_is_sent_in_one_turn_goes_out_in_one_write_and_comes_back_to_each(upstream: Upstream) -> None:
    calls = [upstream.forward(each) for each in (_call(upstream, "GET a", "GET b"), _call(upstream, "GET c"))]
    assert upstream.seen() == b""
    upstream.turn()
    assert upstream.seen().count(b"GET") == 3
    upstream.say(b"+a\r\n+b\r\n+c\r\n")
    assert [body(each) for each in calls] == [b"+a\r\n+b\r\n", b"+c\r\n"]


def _call(upstream: Upstream, *texts: str) -> Any:
    call = several(*texts)
    call.timeout, call.received = 15.0, upstream.env.now()
    return call


def test_large_commands_and_replies_are_not_copied_together(upstream: Upstream) -> None:
    value = "v" * 20_000
    calls = [upstream.forward(_call(upstream, f"SET {key} {value}")) for key in "abc"]
    upstream.turn()
    assert upstream.seen() == b"".join(
        b"*3\r\n$3\r\nSET\r\n$1\r\n%b\r\n$20000\r\n" % key.encode() + value.encode() + b"\r\n" for key in "abc"
    )
    upstream.say(b"+OK\r\n" * 3)
    assert [body(each) for each in calls] == [b"+OK\r\n"] * 3
    calls = [upstream.send(f"GET {key}") for key in "abcd"]
    reply = b"$20000\r\n" + value.encode() + b"\r\n"
    whole = reply * 3 + b"-ERR no\r\n"
    upstream.say(whole[:30_000])
    upstream.say(whole[30_000:])
    assert [body(each) for each in calls] == [reply] * 3 + [b"-ERR no\r\n"]
    assert [each.value.errors for each in calls] == [0, 0, 0, 1]


def test_a_lost_connection_keeps_what_had_come_and_says_what_may_be_sent_again(upstream: Upstream) -> None:
    read, written = upstream.send("GET a", "GET b"), upstream.send("SET a 1", write=True)
    unsent = upstream.forward(_call(upstream, "SET b 1"))
    unsent.call.write = True
    upstream.say(b"+a\r\n")
    upstream.server().connectionLost(_lost())
    had = failure(read)
    assert isinstance(had, PartOfReplies)
    assert (had.had, had.answered, had.retryable) == (b"+a\r\n", 1, True)
    assert not failure(written).retryable
    assert failure(written).kind is Kind.RESET
    assert upstream.endpoint.active == 0
    assert upstream.endpoint.failures >= 3
    assert unsent.done


def _lost() -> Any:
    return Failure(ConnectionLost())


def test_who_waits_too_long_hears_of_it_and_the_others_get_their_own(upstream: Upstream) -> None:
    late, patient = upstream.send("GET a", "GET b", timeout=1.0), upstream.send("GET c")
    upstream.say(b"+a\r\n")
    upstream.env.clock.advance(1.5)
    error = failure(late)
    assert isinstance(error, PartOfReplies)
    assert (error.kind, error.had) == (Kind.TIMEOUT, b"+a\r\n")
    assert upstream.endpoint.active == 1
    upstream.say(b"+b\r\n+c\r\n")
    assert body(patient) == b"+c\r\n"
    assert upstream.endpoint.active == 0


def test_who_hears_that_its_time_is_over_may_send_others(upstream: Upstream) -> None:
    first, second = upstream.send("GET a", timeout=1.0), upstream.send("GET b", timeout=1.0)
    sent: list[Pending] = []
    first.resume = second.resume = lambda: sent.append(upstream.send("GET c"))
    upstream.env.clock.pump([0.5, 0.6])
    assert [failure(each).kind for each in (first, second)] == [Kind.TIMEOUT, Kind.TIMEOUT]
    upstream.say(b"+a\r\n+b\r\n+c\r\n+c\r\n")
    assert [body(each) for each in sent] == [b"+c\r\n", b"+c\r\n"]


def test_who_hears_that_its_time_is_over_may_end_the_connection(upstream: Upstream) -> None:
    first, second = upstream.send("GET a", timeout=1.0), upstream.send("GET b", timeout=1.0)
    first.resume = upstream.server().close
    upstream.env.clock.pump([0.5, 0.6])
    assert [failure(each).kind for each in (first, second)] == [Kind.TIMEOUT, Kind.CLOSED]


def test_a_server_that_says_nothing_at_all_is_given_up(upstream: Upstream) -> None:
    upstream = Upstream(silence=2.0)
    call = upstream.send("GET a", timeout=None)
    upstream.introduced()
    for _ in range(5):
        upstream.env.clock.advance(0.5)
    assert failure(call).kind is Kind.TIMEOUT
    assert upstream.server().lost


def test_a_server_that_was_asked_nothing_for_long_is_not_silent(upstream: Upstream) -> None:
    """Also where time goes by before what is to be sent has gone out."""
    upstream = Upstream(silence=2.0)
    call = upstream.send("GET a", timeout=None)
    upstream.introduced()
    upstream.say(b"+a\r\n")
    assert body(call) == b"+a\r\n"
    upstream.env.clock.advance(20.0)
    call = upstream.forward(_call(upstream, "GET b"))
    upstream.env.clock.pump([0.1] * 5)
    assert not call.done
    upstream.turn()
    upstream.env.clock.advance(1.0)
    upstream.say(b"+b\r\n")
    assert body(call) == b"+b\r\n"


def test_after_a_standstill_of_our_own_a_reply_may_be_there_already(upstream: Upstream) -> None:
    upstream = Upstream(silence=2.0)
    call = upstream.send("GET a", timeout=None)
    upstream.introduced()
    upstream.env.clock.advance(20.0)
    assert not call.done
    upstream.say(b"+a\r\n")
    assert body(call) == b"+a\r\n"
    call = upstream.send("GET b", timeout=None)
    upstream.env.clock.pump([20.0, 0.1])
    assert failure(call).kind is Kind.TIMEOUT


# --- deadlines


def test_a_caller_that_waits_no_longer_is_told_so_and_it_says_nothing_of_the_server(upstream: Upstream) -> None:
    now = upstream.env.now()
    sooner = upstream.send("GET a", timeout=2.0, deadline=now + 1.0, started=now)
    later = upstream.send("GET b", timeout=1.5, deadline=now + 9.0, started=now)
    alone = upstream.send("GET c", timeout=None, deadline=now + 1.0, started=now)
    upstream.env.clock.advance(1.2)
    for each in (sooner, alone):
        assert (failure(each).kind, failure(each).detail) == (Kind.DEADLINE, "the caller waits no longer than 1 s")
    assert not later.done and upstream.endpoint.failures == 0
    upstream.env.clock.advance(0.5)
    assert failure(later).kind is Kind.TIMEOUT and upstream.endpoint.failures == 1
    upstream.say(b"+a\r\n+b\r\n+c\r\n")
    call = upstream.send("GET d", deadline=now + 5.0)
    upstream.say(b"+d\r\n")
    assert body(call) == b"+d\r\n"
