"""One connection that many share: every call gets its own replies, in whatever pieces they come."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.filters.redis_calls import several
from tests.upstream.redis_servers import Upstream
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.redis_call import PartOfReplies, Pending, RedisReply
from twisted_mesh.stream import ByteStream, Trailers


def body(pending: Pending) -> Any:
    assert pending.done, "no reply yet"
    assert pending.error is None, pending.error
    assert isinstance(pending.value, RedisReply)
    return pending.value.body


def failure(pending: Pending) -> MeshError:
    assert isinstance(pending.error, MeshError)
    return pending.error


@pytest.fixture
def upstream() -> Upstream:
    made = Upstream()
    first = made.send("GET warm")
    made.introduced()
    assert made.seen() == b"*2\r\n$3\r\nGET\r\n$4\r\nwarm\r\n"
    made.say(b"$-1\r\n")
    assert body(first) == b"$-1\r\n"
    return made


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


def test_pushes_are_nobodys_reply() -> None:
    upstream = Upstream()
    call = upstream.send("GET a", resp=3)
    assert upstream.introduced().startswith(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
    upstream.say(b">2\r\n+invalidate\r\n*1\r\n+a\r\n$1\r\n1\r\n>1\r\n+x\r\n")
    assert body(call) == b"$1\r\n1\r\n"


def test_a_login_that_is_refused_fails_what_waits(upstream: Upstream) -> None:
    upstream = Upstream(password="secret", username="mesh", db=4)
    call = upstream.send("GET a")
    said = upstream.seen()
    assert said.startswith(b"*3\r\n$4\r\nAUTH\r\n$4\r\nmesh\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n")
    assert b"GET" not in said
    upstream.say(b"-WRONGPASS invalid\r\n+OK\r\n+OK\r\n")
    assert failure(call).kind is Kind.CONNECT_FAILED
    assert failure(call).retryable
    assert "AUTH was refused: WRONGPASS invalid" in failure(call).detail
    assert "secret" not in failure(call).detail


def test_a_server_without_client_setname_will_do() -> None:
    upstream = Upstream()
    call = upstream.send("GET a")
    upstream.say(b"-ERR unknown command\r\n")
    upstream.say(b"+1\r\n")
    assert body(call) == b"+1\r\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"HTTP/1.1 400\r\n", Kind.BAD_REPLY), (b"$x\r\n", Kind.BAD_REPLY), (b"+1\r\n+2\r\n", Kind.BAD_REPLY)],
)
def test_nonsense_ends_the_connection(upstream: Upstream, data: bytes, kind: Kind) -> None:
    call = upstream.send("GET a")
    upstream.say(data)
    assert upstream.server().lost
    if not data.startswith(b"+"):
        assert failure(call).kind is kind


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


class Reader:
    """Takes a body."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.error: Any = None

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_ended(self, trailers: Trailers) -> None:
        self.ended = True

    def body_failed(self, error: BaseException) -> None:
        self.error = error


def test_a_large_reply_is_passed_on_as_it_comes(upstream: Upstream) -> None:
    call, next_one = upstream.send("GET a", "GET b", "GET c"), upstream.send("GET d")
    upstream.say(b"+first\r\n$1000000\r\n" + b"x" * 300_000)
    stream = body(call)
    assert isinstance(stream, ByteStream)
    reader = Reader()
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
    reader = Reader()
    body(call).attach(reader)
    if not inside:
        upstream.say(b"x" * 700_000 + b"\r\n")
    upstream.server().connectionLost(_lost())
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
    body(call).attach(Reader())
    assert not upstream.server().held


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


# --- what errors say of a server


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
