"""An upstream that does as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream
from twisted_mesh.testing import HANG, After, Chain, FakeUpstream, Streamed, http_call


def chain(*script: Any, **options: Any) -> Chain:
    return Chain([], FakeUpstream(*script, **options))


def test_without_a_script_every_call_gets_an_empty_200() -> None:
    one = chain()
    for _ in range(2):
        outcome = one.call(http_call())
        assert (outcome.status, outcome.body) == (200, b"")


def test_the_script_is_played_in_order_and_its_last_step_stays() -> None:
    one = chain(Reply(201), MeshError(Kind.RESET), Reply(203))
    assert [one.call(http_call()).status for _ in range(4)] == [201, 502, 203, 203]


def test_a_reply_is_made_anew_for_each_call() -> None:
    one = chain(Reply(200, Headers.of([("a", "1")]), b"body"))
    first = one.call(http_call())
    first.headers.set("a", "2")
    second = one.call(http_call())
    assert second.headers.get("a") == "1"
    assert second.body == b"body"


def test_it_remembers_what_it_got_as_it_was_then() -> None:
    one = chain()
    call = http_call("POST", "/orders?dry=1", {"x-a": "1"}, b"order")
    one.call(call)
    call.headers.set("x-a", "2")
    [received] = one.upstream.received
    assert (received.operation, received.target, received.body) == ("POST", "/orders?dry=1", b"order")
    assert received.headers.get("x-a") == "1"
    assert received.host == "shop.example"
    assert received.endpoint == "10.0.0.1:80"
    assert not received.cancelled


def test_it_reads_a_streamed_body_before_it_answers() -> None:
    one = chain(Reply(204))
    body = ByteStream()
    outcome = one.call(http_call("POST", "/", body=body))
    body.write(b"a")
    assert outcome.waiting
    body.write(b"b")
    body.end()
    assert outcome.status == 204
    assert one.upstream.received[0].body == b"ab"


def test_it_answers_late() -> None:
    one = chain(After(2.0, Reply(204)))
    outcome = one.call(http_call())
    one.advance(1.9)
    assert outcome.waiting
    one.advance(0.1)
    assert outcome.status == 204


def test_it_hangs_until_the_route_loses_patience() -> None:
    one = chain(HANG)
    outcome = one.call(http_call())
    one.advance(14)
    assert outcome.waiting
    one.advance(1.1)
    assert outcome.status == 504
    assert one.upstream.received[0].cancelled
    one.assert_idle()


def test_a_step_may_be_a_function_or_a_coroutine_function() -> None:
    async def slowly(call: Call) -> Any:
        return After(1.0, Reply(202))

    one = chain(lambda call: Reply(201 if call.resource == "/a" else 404), slowly)
    assert one.call(http_call("GET", "/a")).status == 201
    outcome = one.call(http_call("GET", "/b"))
    one.advance(1.0)
    assert outcome.status == 202


def test_an_error_keeps_what_it_says() -> None:
    one = chain(MeshError(Kind.DENIED, "no", status=418))
    outcome = one.call(http_call())
    assert outcome.status == 418
    assert isinstance(outcome.error, MeshError) and outcome.error.detail == "no"


def test_pieces_come_one_after_another() -> None:
    one = chain(Streamed([b"a", b"b", b"c"], every=1.0, trailers=[(b"t", b"1")]))
    outcome = one.call(http_call())
    assert (outcome.status, outcome.body, outcome.complete) == (200, b"a", False)
    one.advance(1.0)
    assert outcome.body == b"ab"
    one.advance(1.0)
    assert (outcome.body, outcome.complete) == (b"abc", True)
    assert list(outcome.trailers) == [(b"t", b"1")]
    one.assert_idle()


def test_pieces_wait_while_nobody_takes_them() -> None:
    one = chain(Streamed([b"x" * 70_000, b"y"], every=1.0))
    replies: list[Reply] = []

    async def holds(call: Call, proceed: Any) -> Reply:
        replies.append(await proceed(call))
        return Reply(204)

    other = Chain([holds], one.upstream)
    call = http_call()
    call.on_complete(lambda call: None)
    other.call(call)
    other.advance(5)
    body = replies[0].body
    assert isinstance(body, ByteStream) and body.size == 70_000


def test_a_body_that_is_cut() -> None:
    error = MeshError(Kind.RESET)
    one = chain(Streamed([b"a"], cut=error))
    outcome = one.call(http_call())
    assert (outcome.body, outcome.cut, outcome.complete) == (b"a", error, True)
    assert outcome.call.flags == ("UR",)


def test_a_reply_that_a_filter_dropped_is_stopped_when_the_call_ends() -> None:
    async def drops(call: Call, proceed: Any) -> Reply:
        await proceed(call)
        return Reply(204)

    one = Chain([drops], FakeUpstream(Streamed([b"a", b"b"])))
    assert one.call(http_call()).status == 204
    one.assert_idle()


def test_endpoints_take_turns_and_those_that_failed_are_avoided() -> None:
    one = chain(endpoints=["10.0.0.1:80", "10.0.0.2:80"])
    for _ in range(2):
        one.call(http_call())
    assert [each.endpoint for each in one.upstream.received] == ["10.0.0.1:80", "10.0.0.2:80"]
    call = http_call()
    call.tried = (one.upstream.endpoints[0],)
    one.call(call)
    assert one.upstream.received[-1].endpoint == "10.0.0.2:80"


def test_calls_in_flight_are_counted() -> None:
    one = chain(HANG)
    outcome = one.call(http_call())
    assert one.upstream.endpoints[0].active == 1
    assert repr(one.upstream) == "<FakeUpstream fake received=1 active=1>"
    outcome.hang_up()
    assert one.upstream.endpoints[0].active == 0


def test_an_upstream_without_a_chain_says_so() -> None:
    with pytest.raises(AssertionError, match="no chain"):
        FakeUpstream().forward(http_call()).send(None)  # type: ignore[attr-defined]
