"""The world of a filter under test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.retry import Retry
from twisted_mesh.interfaces import Proceed
from twisted_mesh.shadow import Sampled, Shadow
from twisted_mesh.testing import HANG, Chain, Env, FakeUpstream, http_call


def test_time_stands_still_until_the_test_says_so() -> None:
    env = Env()
    before, wall = env.now(), env.wall()
    env.advance(2.5)
    assert env.now() == before + 2.5
    assert env.wall() == wall + 2.5
    assert env.clock.seconds() == env.now()


def test_the_dice_are_seeded() -> None:
    assert Env().random.random() == Env().random.random()
    assert Env(seed=1).random.random() != Env(seed=2).random.random()


def test_the_log_is_a_list() -> None:
    env = Env("mine")
    env.log.warn("low on {what}", what="tea")
    assert env.logged == ["low on tea"]
    assert env.events[0]["log_namespace"] == "twisted_mesh.mine"


def test_another_name_is_the_same_world() -> None:
    env = Env()
    other = env.named("other")
    other.log.info("hello")
    other.advance(1)
    assert other.name == "other" and env.name == "test"
    assert env.logged == ["hello"]
    assert env.now() == other.now()


def test_counts_are_read_by_name() -> None:
    env = Env()
    env.metrics.counter("things_total", "Things.", ("kind",)).labels("good").value += 2
    assert env.count("things_total", "good") == 2
    assert env.count("things_total", "bad") == 0
    with pytest.raises(AssertionError, match="things_total"):
        env.count("no_such_total")


def test_a_filter_is_built_as_a_configuration_does() -> None:
    env = Env()
    assert isinstance(env.build("retry", attempts=2, backoff={"base": "10ms"}), Retry)
    assert isinstance(env.build("retry", mode="shadow"), Shadow)
    assert isinstance(env.build("retry", percent=50), Sampled)


def test_what_a_configuration_would_refuse_is_refused() -> None:
    env = Env()
    with pytest.raises(ValueError, match="attempts"):
        env.build("retry", attempts="many")
    with pytest.raises(ValueError, match="no filter"):
        env.build("no_such_filter")


def test_http_and_redis_are_what_the_test_gave() -> None:
    http, redis = object(), object()
    env = Env(http=http, redis=redis)
    assert env.http is http and env.redis is redis
    assert Env().redis is None
    with pytest.raises(AssertionError, match="http="):
        Env().http  # noqa: B018


def test_asyncio_runs_by_the_same_clock() -> None:
    env = Env()

    async def patient(call: Call, proceed: Proceed) -> Reply:
        async def within() -> Any:
            return await asyncio.wait_for(asyncio.sleep(1, "slept"), 5)

        call.context["said"] = await env.asyncio(within())
        return await proceed(call)

    chain = Chain([patient], env=env)
    outcome = chain.call(http_call())
    assert outcome.waiting
    chain.advance(1)
    assert outcome.call.context["said"] == "slept"
    assert outcome.status == 200
    chain.assert_idle()


def test_the_rest_of_the_chain_may_run_in_a_task() -> None:
    """asyncio's time limit round ``proceed``, which waits for things that asyncio does not know."""
    env = Env()

    async def limited(call: Call, proceed: Proceed) -> Reply:
        async def rest() -> Reply:
            return await proceed(call)

        try:
            return await env.asyncio(asyncio.wait_for(rest(), 2))  # type: ignore[no-any-return]
        except asyncio.TimeoutError:
            raise MeshError(Kind.TIMEOUT, "too slow for me") from None

    fast = Chain([limited], FakeUpstream(Reply(204)), env)
    assert fast.call(http_call()).status == 204

    slow = Chain([limited], FakeUpstream(HANG), env)
    outcome = slow.call(http_call())
    slow.advance(2)
    assert outcome.status == 504
    assert slow.upstream.received[0].cancelled
    slow.assert_idle()


def test_a_deferred_inside_a_time_limit_of_asyncios() -> None:
    """Two filters that know nothing of each other: the outer uses asyncio, the inner Twisted."""
    env = Env()
    deferred: Deferred[None] = Deferred()

    async def limited(call: Call, proceed: Proceed) -> Reply:
        return await env.asyncio(asyncio.wait_for(proceed(call), 2))  # type: ignore[no-any-return, arg-type]

    async def asks(call: Call, proceed: Proceed) -> Reply:
        await deferred
        return await proceed(call)

    chain = Chain([limited, asks], env=env)
    outcome = chain.call(http_call())
    assert outcome.waiting
    deferred.callback(None)
    chain.advance(0)
    assert outcome.status == 200
    chain.assert_idle()
