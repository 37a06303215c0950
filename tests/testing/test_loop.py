"""One Clock for Twisted's timers and asyncio's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from twisted_mesh.testing.loop import Clock


def start(clock: Clock, coroutine: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = clock.loop.create_task(coroutine)
    clock.advance(0)
    return task


def test_asyncio_sleeps_by_the_clock() -> None:
    clock = Clock()
    task = start(clock, asyncio.sleep(5, "slept"))
    clock.advance(4.9)
    assert not task.done()
    clock.advance(0.1)
    assert task.result() == "slept"


def test_what_is_due_runs_in_order_and_what_it_sets_going_before_the_next() -> None:
    clock = Clock()
    seen: list[tuple[str, float]] = []

    async def steps() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(("asyncio", clock.seconds()))

    start(clock, steps())
    clock.callLater(1.5, lambda: seen.append(("twisted", clock.seconds())))
    clock.advance(10)
    assert seen == [("asyncio", 1001.0), ("twisted", 1001.5), ("asyncio", 1002.0), ("asyncio", 1003.0)]
    assert clock.seconds() == 1010.0


def test_a_time_limit() -> None:
    clock = Clock()

    async def limited() -> None:
        await asyncio.wait_for(asyncio.sleep(60), 2)

    task = start(clock, limited())
    clock.advance(2)
    assert isinstance(task.exception(), asyncio.TimeoutError)
    assert clock.getDelayedCalls() == []


def test_locks_queues_and_groups() -> None:
    clock = Clock()
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def produce() -> None:
        for each in range(3):
            await asyncio.sleep(1)
            await queue.put(each)

    async def consume() -> list[int]:
        return [await queue.get() for _ in range(3)]

    async def both() -> Any:
        return await asyncio.gather(produce(), consume())

    task = start(clock, both())
    clock.advance(3)
    assert task.result() == [None, [0, 1, 2]]


def test_a_thread_is_run_at_once() -> None:
    clock = Clock()

    async def threaded() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert start(clock, threaded()).result() == 7


def test_a_forgotten_error_is_kept() -> None:
    clock = Clock()

    def broken() -> None:
        raise ValueError("in a callback")

    clock.loop.call_soon(broken)
    clock.advance(0)
    assert [str(each) for each in clock.loop.errors] == ["in a callback"]


def test_a_cancelled_callback_does_not_run() -> None:
    clock = Clock()
    seen: list[int] = []
    clock.loop.call_soon(seen.append, 1).cancel()
    clock.loop.call_soon_threadsafe(seen.append, 2)
    clock.loop.call_later(1, seen.append, 3).cancel()
    clock.advance(2)
    assert seen == [2]


def test_a_circle_fails_instead_of_hanging() -> None:
    clock = Clock()

    async def circle() -> None:
        while True:
            await asyncio.sleep(0)

    clock.loop.create_task(circle())
    with pytest.raises(AssertionError, match="without any time passing"):
        clock.advance(0)


def test_it_is_the_running_loop_only_while_it_runs() -> None:
    clock = Clock()
    seen: list[Any] = []
    clock.callLater(1, lambda: seen.append(asyncio.get_running_loop()))
    clock.advance(1)
    assert seen == [clock.loop]
    assert not clock.loop.is_running() and not clock.loop.is_closed() and not clock.loop.get_debug()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_it_has_no_sockets() -> None:
    with pytest.raises(NotImplementedError):
        Clock().loop.add_reader(0, print)
