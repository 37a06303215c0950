"""One call: what the chain may return, and what becomes of that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.stream import ByteStream


def test_what_the_upstream_fires_is_the_clients_own_place() -> None:
    client = Client()
    client.send(("GET", "a"))
    assert client.pending[0] is client.connection.queue[0]
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n"


def test_a_chain_may_return_another_pending() -> None:
    made: list[Pending] = []

    def then(call: RedisCall) -> Pending:
        made.append(Pending(call))
        return made[-1]

    client = Client(then)
    client.send(("GET", "a"))
    made[0].whole(b"+other\r\n")
    assert client.heard == b"+other\r\n"


def test_a_chain_may_have_answered_already() -> None:
    def then(call: RedisCall) -> Pending:
        pending = Pending(call)
        pending.fire(RedisReply(b"+at once\r\n", local=True))
        return pending

    client = Client(then)
    client.send(("GET", "a"))
    assert client.heard == b"+at once\r\n"


def test_a_coroutine_is_stepped_and_may_wait_for_the_reply() -> None:
    async def then(call: RedisCall) -> RedisReply:
        pending = call.waiter
        assert pending is not None
        call.waiter = None
        waiting.append(pending)
        reply: RedisReply = await pending
        assert isinstance(reply.body, bytes)
        return RedisReply(reply.body.upper())

    waiting: list[Pending] = []
    client = Client(then)
    client.send(("GET", "a"))
    assert len(client.adapter.calls) == 1
    waiting[0].whole(b"+abc\r\n")
    assert client.heard == b"+ABC\r\n"
    assert len(client.adapter.calls) == 0


def test_a_coroutine_whose_time_is_up_is_cancelled() -> None:
    async def then(call: RedisCall) -> RedisReply:
        call.timeout = 2.0
        forever: Parked[Any] = Parked()
        return await forever  # type: ignore[no-any-return]

    client = Client(then)
    client.send(("GET", "a"))
    client.env.time.advance(3)
    assert client.heard == b"-MESHTIMEOUT upstream failure: no reply within 2 s\r\n"
    assert client.ended[0].flags == ("UT",)


def test_a_coroutine_is_cancelled_when_its_client_leaves() -> None:
    seen: list[BaseException] = []

    async def then(call: RedisCall) -> RedisReply:
        try:
            return await Parked()  # type: ignore[no-any-return]
        except Cancelled as cancelled:
            seen.append(cancelled)
            raise

    client = Client(then)
    client.send(("GET", "a"))
    client.leave()
    assert [each.kind for each in seen if isinstance(each, Cancelled)] == [Kind.CLIENT_GONE]
    assert len(client.ended) == 1


@pytest.mark.parametrize("answer", [None, b"+OK\r\n", 7])
def test_what_is_no_reply_is_an_error_of_the_filter(answer: Any) -> None:
    async def then(call: RedisCall) -> Any:
        return answer

    client = Client(then)
    client.send(("GET", "a"))
    assert client.heard == b"-ERR internal error of the proxy\r\n"


@pytest.mark.parametrize("body", [b"+OK\r\n", b"+OK\r\n" * 3, b"hello", "+OK"])
def test_a_filter_that_answers_another_number_of_commands_fails_all_of_them(body: Any) -> None:
    """And what follows gets its own replies."""

    async def then(call: RedisCall) -> RedisReply:
        return RedisReply(body)

    client = Client(then)
    client.send(("GET", "a"), ("GET", "b"))
    client.send(("PING",))
    assert client.heard == b"-ERR internal error of the proxy\r\n" * 2 + b"+PONG\r\n"


def test_errors_that_a_filter_answers_are_counted() -> None:
    async def then(call: RedisCall) -> RedisReply:
        return RedisReply(b"-ERR no\r\n:1\r\n")

    client = Client(then)
    client.send(("GET", "a"), ("GET", "b"))
    assert client.heard == b"-ERR no\r\n:1\r\n"
    assert client.env.count("twisted_mesh_redis_errors_total", "cache", "get") == 1


def test_errors_are_counted_by_command() -> None:
    client = Client()
    client.send(("GET", "a"), ("STRLEN", "b"), ("GET", "c"))
    body = b"$1\r\n1\r\n-WRONGTYPE no\r\n-ERR no\r\n"
    reply = RedisReply(body, 3)
    reply.errors = 2
    client.pending[0].fire(reply)
    count = client.env.count
    assert count("twisted_mesh_redis_commands_total", "cache", "get") == 2
    assert count("twisted_mesh_redis_errors_total", "cache", "get") == 1
    assert count("twisted_mesh_redis_errors_total", "cache", "strlen") == 1


def test_somebody_may_take_care_of_a_failure() -> None:
    client = Client()
    client.send(("GET", "a"))
    cared: list[BaseException] = []

    def rescue(pending: Pending, error: BaseException) -> bool:
        cared.append(error)
        assert pending.wanted
        return True

    first = client.pending[0]
    first.rescue = rescue
    first.fail(MeshError(Kind.RESET, "lost"))
    assert len(cared) == 1
    assert client.heard == b""
    first.fire(RedisReply(b"+after all\r\n"))
    assert client.heard == b"+after all\r\n"


@pytest.mark.parametrize("way", ["direct", "another", "stepped"])
def test_a_large_reply_for_a_client_that_has_gone_is_let_go_and_holds_up_nobody(way: str) -> None:
    made: list[Pending] = []

    def then(call: RedisCall) -> Any:
        assert call.waiter is not None
        made.append(call.waiter if way == "direct" else Pending(call))
        return _stepped(made[-1]) if way == "stepped" else made[-1]

    client = Client(then)
    client.send(("GET", "a"))
    client.leave()
    stream = ByteStream()
    stream.write(b"$1000000\r\nab")
    made[0].fire(RedisReply(stream))
    assert stream.cancelled
    assert [call.flags for call in client.ended] == [("DC",)]


async def _stepped(pending: Pending) -> RedisReply:
    return await pending


def test_each_command_of_a_call_is_timed_for_itself() -> None:
    client = Client()
    client.send(("GET", "a"), ("STRLEN", "b"))
    client.answer(0, b"$-1\r\n:0\r\n")
    rows = [client.adapter.rows.find(name) for name in (b"GET", b"STRLEN")]
    assert [row is not None and sum(row.seconds.counts) for row in rows] == [1, 1]
