"""A chain in memory."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Awaitable

import pytest

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.interfaces import Proceed
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.stream import ByteStream
from twisted_mesh.testing import HANG, Chain, Env, FakeUpstream, Streamed, http_call, redis_call, tcp_call


async def nothing(call: Call, proceed: Proceed) -> Reply:
    return await proceed(call)


def test_the_client_sees_the_answer_and_the_call_is_complete() -> None:
    chain = Chain([nothing], FakeUpstream(Reply(201, body=b"made")))
    completed: list[Call] = []
    call = http_call("POST", "/")
    call.on_complete(completed.append)
    outcome = chain.call(call)
    assert (outcome.status, outcome.body, outcome.error) == (201, b"made", None)
    assert outcome.complete and completed == [call]
    assert (call.status, call.bytes_out) == (201, 4)
    assert call.started == call.received == call.connected == call.head_at == call.ended == chain.env.now()
    chain.assert_idle()


def test_the_client_sees_what_the_adapter_makes_of_an_error() -> None:
    async def denies(call: Call, proceed: Proceed) -> Reply:
        raise MeshError(Kind.DENIED, "not you")

    outcome = Chain([denies]).call(http_call(headers={"accept": "application/json"}))
    assert outcome.status == 403
    assert b"not you" in outcome.body
    assert outcome.headers.get("content-type") == "application/json"
    assert outcome.call.flags == ("UAEX",)
    assert isinstance(outcome.error, MeshError)


def test_what_nobody_expects_costs_a_500_and_fails_the_test() -> None:
    async def broken(call: Call, proceed: Proceed) -> Reply:
        raise ZeroDivisionError("oops")

    chain = Chain([broken])
    with pytest.raises(ZeroDivisionError, match="oops"):
        chain.call(http_call())
    assert chain.outcomes[0].status == 500
    assert chain.outcomes[0].call.flags == ("INT",)
    chain.assert_idle()


def test_what_nobody_expects_fails_the_test_also_later() -> None:
    env = Env()

    async def broken_later(call: Call, proceed: Proceed) -> Reply:
        await env.sleep(1)
        raise ZeroDivisionError

    chain = Chain([broken_later], env=env)
    chain.call(http_call())
    with pytest.raises(ZeroDivisionError):
        chain.advance(1)


def test_a_completion_that_raises_fails_the_test() -> None:
    def broken(call: Call) -> None:
        raise ZeroDivisionError

    def logs(call: Call, proceed: Proceed) -> Awaitable[Reply]:
        call.on_complete(broken)
        return proceed(call)

    with pytest.raises(ZeroDivisionError):
        Chain([logs]).call(http_call())


def test_a_filter_that_returns_no_reply_fails_the_test() -> None:
    async def forgets(call: Call, proceed: Proceed) -> Any:
        await proceed(call)

    with pytest.raises(TypeError, match="None"):
        Chain([forgets]).call(http_call())


def test_a_task_that_nobody_awaits_fails_the_test() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async def forgets(call: Call, proceed: Proceed) -> Reply:
        asyncio.get_running_loop().create_task(broken())
        return await proceed(call)

    chain = Chain([forgets])
    with pytest.raises(ZeroDivisionError):
        chain.call(http_call())
        gc.collect()
        chain.assert_idle()


def test_asking_too_early_says_so() -> None:
    outcome = Chain([], FakeUpstream(HANG)).call(http_call())
    with pytest.raises(AssertionError, match="no answer yet"):
        outcome.status  # noqa: B018


def test_a_timeout_is_the_routes() -> None:
    chain = Chain([nothing], FakeUpstream(HANG), timeout=2.0)
    outcome = chain.call(http_call())
    chain.advance(1.9)
    assert outcome.waiting
    chain.advance(0.2)
    assert (outcome.status, outcome.call.flags) == (504, ("UT",))
    patient = Chain([nothing], FakeUpstream(HANG), timeout=None)
    waiting = patient.call(http_call())
    patient.advance(3600)
    assert waiting.waiting


def test_a_timeout_counts_from_the_end_of_the_request() -> None:
    chain = Chain([], FakeUpstream(HANG), timeout=2.0)
    body = ByteStream()
    outcome = chain.call(http_call("POST", "/", body=body))
    chain.advance(10)
    assert outcome.waiting and outcome.call.received == 0.0
    body.end()
    chain.advance(2.1)
    assert outcome.status == 504


def test_a_listeners_filters_see_the_route_only_behind_proceed() -> None:
    seen: list[Any] = []

    async def looks(call: Call, proceed: Proceed) -> Reply:
        seen.append(call.route and call.route.name)
        reply = await proceed(call)
        seen.append(call.route and call.route.name)
        return reply

    Chain([looks]).call(http_call())
    Chain([looks], route="api").call(http_call())
    assert seen == [None, "test", "api", "api"]


def test_a_client_that_hangs_up_cancels_its_call() -> None:
    cleaned: list[Kind] = []

    async def tidy(call: Call, proceed: Proceed) -> Reply:
        try:
            return await proceed(call)
        except Cancelled as reason:
            cleaned.append(reason.kind)
            raise

    chain = Chain([tidy], FakeUpstream(HANG))
    outcome = chain.call(http_call())
    outcome.hang_up()
    assert cleaned == [Kind.CLIENT_GONE]
    assert outcome.complete and outcome.call.flags == ("DC",)
    assert chain.upstream.received[0].cancelled
    chain.assert_idle()


def test_a_client_that_hangs_up_in_the_middle_of_an_answer_stops_it() -> None:
    chain = Chain([], FakeUpstream(Streamed([b"a"] * 100)))
    outcome = chain.call(http_call())
    chain.advance(1)
    outcome.hang_up()
    got = outcome.body
    chain.advance(100)
    assert outcome.body == got
    assert outcome.complete and outcome.call.flags == ("DC",)
    chain.assert_idle()


def test_hanging_up_twice_or_too_late_does_nothing() -> None:
    chain = Chain([])
    outcome = chain.call(http_call())
    outcome.hang_up()
    assert outcome.call.flags == ()


def test_what_is_left_behind_is_found() -> None:
    env = Env()

    async def careless(call: Call, proceed: Proceed) -> Reply:
        env.clock.callLater(60, print)
        return await proceed(call)

    chain = Chain([careless], env=env)
    chain.call(http_call())
    with pytest.raises(AssertionError, match="left behind"):
        chain.assert_idle()
    hanging = Chain([], FakeUpstream(HANG))
    hanging.call(http_call())
    with pytest.raises(AssertionError, match="<Outcome waiting"):
        hanging.assert_idle()


def test_many_calls_at_once() -> None:
    chain = Chain([nothing], FakeUpstream(HANG))
    outcomes = [chain.call(http_call()) for _ in range(100)]
    assert repr(chain) == "<Chain 100 calls, <FakeUpstream fake received=100 active=100>>"
    chain.advance(15.1)
    assert {each.status for each in outcomes} == {504}


def test_a_tcp_call_goes_through_too() -> None:
    outcome = Chain([nothing]).call(tcp_call())
    assert outcome.complete


def test_the_reprs() -> None:
    chain = Chain([], FakeUpstream(Streamed([b"a", b"b"])))
    outcome = chain.call(http_call())
    assert repr(outcome).startswith("<Outcome 200, body on its way of <Call")
    chain.advance(1)
    assert repr(outcome).startswith("<Outcome 200 of <Call")


def test_a_redis_client_sees_replies_and_errors_as_they_go_over_the_wire() -> None:
    async def denies(call: Call, proceed: Proceed) -> Reply:
        if call.operation == "KEYS":
            raise MeshError(Kind.DENIED, "not here")
        return await proceed(call)

    chain = Chain([denies], FakeUpstream(RedisReply(b"$1\r\n1\r\n$-1\r\n", 2), Reply(200)))
    outcome = chain.call(redis_call("GET", "a", then=[("GET", "b")]))
    assert outcome.body == b"$1\r\n1\r\n$-1\r\n"
    assert isinstance(outcome.reply, RedisReply)
    assert outcome.reply.count == 2
    assert chain.call(redis_call("SET", "a", "1")).body == b"+OK\r\n"
    outcome = chain.call(redis_call("KEYS", "*"))
    assert outcome.body == b"-MESHDENY denied: not here\r\n"
    assert outcome.call.flags == ("UAEX",)
    assert len(chain.upstream.received) == 2
    chain.assert_idle()


def test_each_command_of_a_redis_call_gets_an_error_if_its_upstream_fails() -> None:
    chain = Chain([nothing], FakeUpstream(MeshError(Kind.RESET, "lost")))
    outcome = chain.call(redis_call("SET", "a", "1", then=[("INCR", "b")]))
    assert outcome.body == b"-MESHFAILURE upstream failure: lost\r\n" * 2


def test_a_redis_filter_that_fails_costs_an_error_and_fails_the_test() -> None:
    async def broken(call: Call, proceed: Proceed) -> Reply:
        raise ZeroDivisionError("oops")

    chain = Chain([broken])
    with pytest.raises(ZeroDivisionError, match="oops"):
        chain.call(redis_call("GET", "a"))
    assert chain.outcomes[0].body == b"-ERR internal error of the proxy\r\n"
