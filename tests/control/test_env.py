"""What filters are given of the world."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.control.env import MeshEnv
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.logfile import LogFiles
from twisted_mesh.metrics import Registry


def make_env(clock: Clock, loop: Any = None) -> MeshEnv:
    metrics = Registry()
    logs = LogFiles(clock, lambda: 1e9, Families(metrics))
    return MeshEnv(
        clock, now=clock.seconds, wall=lambda: 1e9, random=random.Random(1), metrics=metrics, logs=logs, loop=loop
    )


def run(env: MeshEnv, filter: Any) -> tuple[Driver, list[Any]]:
    ended: list[Any] = []
    driver = Driver(Call("http", "edge", "GET", Headers()), lambda call, reply, error: ended.append(error or reply))
    driver.start(filter)
    return driver, ended


def test_a_name_is_all_that_differs_between_the_envs_of_a_process() -> None:
    env = make_env(Clock())
    named = env.named("listeners/edge/headers")
    assert named.name == "listeners/edge/headers"
    assert named.log.namespace == "twisted_mesh.listeners/edge/headers"
    assert (named.clock, named.metrics, named.random, named.logs) == (env.clock, env.metrics, env.random, env.logs)
    assert repr(named) == "<MeshEnv listeners/edge/headers>"


def test_a_sleep_ends_after_its_time() -> None:
    clock = Clock()
    env = make_env(clock)

    async def sleepy(call: Call) -> Reply:
        await env.sleep(2.0)
        return Reply(204)

    _, ended = run(env, sleepy)
    clock.advance(1.9)
    assert ended == []
    clock.advance(0.2)
    assert ended[0].status == 204
    assert clock.getDelayedCalls() == []


def test_a_sleep_that_is_cancelled_leaves_no_timer() -> None:
    clock = Clock()
    env = make_env(clock)

    async def sleepy(call: Call) -> Reply:
        await env.sleep(2.0)
        return Reply(204)

    driver, ended = run(env, sleepy)
    driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert isinstance(ended[0], Cancelled)
    assert clock.getDelayedCalls() == []


def test_asyncio_code_runs_in_a_task() -> None:
    """``asyncio.wait_for`` and its like need a task, which filters do not run in."""

    async def whole() -> None:
        env = make_env(Clock(), asyncio.get_running_loop())
        done = asyncio.Event()

        async def inside() -> int:
            assert asyncio.current_task() is not None
            await asyncio.wait_for(asyncio.sleep(0), 5)
            return 207

        async def filter(call: Call) -> Reply:
            status = await env.asyncio(inside())
            done.set()
            return Reply(status)

        _, ended = run(env, filter)
        await asyncio.wait_for(done.wait(), 5)
        assert ended[0].status == 207

    asyncio.run(whole())


def test_cancelling_a_call_cancels_its_task() -> None:
    async def whole() -> None:
        env = make_env(Clock(), asyncio.get_running_loop())
        cancelled = asyncio.Event()

        async def inside() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async def filter(call: Call) -> Reply:
            await env.asyncio(inside())
            return Reply(200)

        driver, ended = run(env, filter)
        await asyncio.sleep(0)
        driver.cancel(Cancelled(Kind.CLIENT_GONE))
        await asyncio.wait_for(cancelled.wait(), 5)
        assert isinstance(ended[0], Cancelled)

    asyncio.run(whole())


def test_any_awaitable_can_be_run_in_a_task() -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        env = make_env(Clock(), loop)
        future = loop.create_future()
        loop.call_soon(future.set_result, 3)
        assert await env.asyncio(future) == 3

    asyncio.run(whole())


def test_without_a_loop_there_are_no_tasks() -> None:
    async def inside() -> None:
        """Is never run."""

    coroutine = inside()
    with pytest.raises(RuntimeError, match="no asyncio loop"):
        make_env(Clock()).asyncio(coroutine)
    coroutine.close()


def test_one_http_client_is_shared_and_made_late() -> None:
    from twisted.internet.testing import MemoryReactorClock

    env = make_env(MemoryReactorClock())
    client = env.named("a").http
    assert client is env.named("b").http
    assert callable(client.get)
    assert env.redis is None
