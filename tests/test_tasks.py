"""The rest of a chain inside an asyncio task."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Awaitable, Callable

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.tasks import in_task, understand_deferreds


def on_a_loop(play: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await play()

    asyncio.run(main())


async def wait_for(awaitable: Any) -> Any:
    return await awaitable


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def start(awaitable: Any) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(in_task(wait_for(awaitable)))


def test_a_parked() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        task = start(parked)
        await turns()
        assert not task.done()
        parked.fire(7)
        assert await task == 7

    on_a_loop(play)


def test_a_parked_that_fails() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        task = start(parked)
        await turns()
        parked.fail(MeshError(Kind.RESET))
        with pytest.raises(MeshError):
            await task

    on_a_loop(play)


def test_a_deferred() -> None:
    async def play() -> None:
        deferred: Deferred[int] = Deferred()
        task = start(deferred)
        await turns()
        deferred.callback(7)
        assert await task == 7

    on_a_loop(play)


def test_a_deferred_that_fails() -> None:
    async def play() -> None:
        deferred: Deferred[int] = Deferred()
        task = start(deferred)
        await turns()
        deferred.errback(ValueError("later"))
        with pytest.raises(ValueError, match="later"):
            await task
        with pytest.raises(ValueError, match="early"):
            await start(defer.fail(ValueError("early")))

    on_a_loop(play)


def test_what_asyncio_has_itself() -> None:
    async def play() -> None:
        async def sleeps() -> int:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            return await asyncio.wait_for(asyncio.sleep(0, 7), 5)

        assert await asyncio.get_running_loop().create_task(in_task(sleeps())) == 7

    on_a_loop(play)


def test_a_plain_awaitable() -> None:
    async def play() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_result(7)
        assert await asyncio.get_running_loop().create_task(in_task(future)) == 7

    on_a_loop(play)


def test_cancelling_the_task_lets_go_of_the_parked_and_cleanup_may_await() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        flushed: Parked[None] = Parked()
        cleaned: list[str] = []

        async def work() -> None:
            try:
                await parked
            finally:
                await flushed
                cleaned.append("yes")

        task = start(work())
        await turns()
        task.cancel()
        await turns()
        assert parked.resume is None and not task.done()
        flushed.fire(None)
        await turns()
        assert task.cancelled()
        assert cleaned == ["yes"]

    on_a_loop(play)


def test_cancelling_the_task_cancels_the_deferred() -> None:
    async def play() -> None:
        cancelled: list[Any] = []
        deferred: Deferred[int] = Deferred(cancelled.append)
        task = start(deferred)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled == [deferred]

    on_a_loop(play)


def test_a_time_limit_round_a_parked() -> None:
    async def play() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await start(asyncio.wait_for(in_task(wait_for(Parked())), 0.001))

    on_a_loop(play)


def test_an_error_that_is_caught_inside_goes_no_further() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()

        async def work() -> int:
            try:
                return await parked
            except MeshError:
                return 7

        task = start(work())
        await turns()
        parked.fail(MeshError(Kind.RESET))
        assert await task == 7

    on_a_loop(play)


def test_parked_in_tasks_of_their_own() -> None:
    """asyncio.gather, and before Python 3.12 asyncio.wait_for, make a task of each coroutine."""

    async def play() -> None:
        first: Parked[int] = Parked()
        second: Parked[int] = Parked()

        async def both() -> list[int]:
            return await asyncio.gather(wait_for(first), wait_for(second))

        task = start(both())
        await turns()
        second.fire(2)
        first.fire(1)
        assert await task == [1, 2]

    on_a_loop(play)


def test_a_time_limit_that_makes_a_task() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        with pytest.raises(asyncio.TimeoutError):
            await start(asyncio.wait_for(wait_for(parked), 0.001))
        assert parked.resume is None

    on_a_loop(play)


class Taking:
    """A task that takes a value, does something with it at once, and then waits again."""

    def __init__(self, awaitable: Any) -> None:
        self.took: list[Any] = []
        self.task = start(self._work(awaitable))

    async def _work(self, awaitable: Any) -> str:
        self.took.append(await awaitable)
        await asyncio.sleep(60)
        return "not cancelled"


@pytest.mark.parametrize("cancel_first", [False, True])
def test_a_value_that_was_handed_out_is_not_lost_and_neither_is_the_cancel(cancel_first: bool) -> None:
    """Else a connection that was just given to a task would be nobody's."""

    async def play() -> None:
        parked: Parked[int] = Parked()
        taking = Taking(parked)
        await turns()
        if cancel_first:
            taking.task.cancel()
            parked.fire(7)
        else:
            parked.fire(7)
            taking.task.cancel()
        await turns()
        assert taking.took == [7]
        assert taking.task.cancelled()

    on_a_loop(play)


def test_an_error_that_comes_with_a_cancel_gives_way_to_it() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        taking = Taking(parked)
        await turns()
        parked.fail(MeshError(Kind.RESET))
        taking.task.cancel()
        await turns()
        assert taking.took == [] and taking.task.cancelled()

    on_a_loop(play)


def test_the_result_of_a_deferred_is_not_lost_either() -> None:
    async def play() -> None:
        deferred: Deferred[int] = Deferred()
        taking = Taking(deferred)
        await turns()
        deferred.callback(7)
        taking.task.cancel()
        await turns()
        assert taking.took == [7]
        assert taking.task.cancelled()

    on_a_loop(play)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
def test_a_time_limit_that_is_reached_just_then_is_still_a_time_limit() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        took: list[int] = []

        async def limited() -> str:
            try:
                async with asyncio.timeout(60) as limit:
                    asyncio.get_running_loop().call_soon(parked.fire, 7)
                    asyncio.get_running_loop().call_soon(lambda: limit.reschedule(0))
                    took.append(await parked)
                    await asyncio.sleep(60)
            except TimeoutError:
                return "time is up"
            return "not cancelled"

        task = start(limited())
        await asyncio.wait([task], timeout=5)
        assert (took, task.done() and task.result()) == ([7], "time is up")
        assert task.cancelling() == 0

    on_a_loop(play)


def test_a_task_that_was_cancelled_before_it_came_to_wait() -> None:
    async def play() -> None:
        parked: Parked[int] = Parked()
        task = asyncio.get_running_loop().create_task(in_task(parked))
        task.cancel()
        await turns()
        assert task.cancelled() and parked.resume is None

    on_a_loop(play)


def test_a_deferred_in_a_task_of_its_own() -> None:
    async def play() -> None:
        understand_deferreds(asyncio.get_running_loop())
        deferred: Deferred[int] = Deferred()

        async def both() -> list[int]:
            return await asyncio.gather(wait_for(deferred), wait_for(defer.succeed(2)))

        task = start(both())
        await turns()
        deferred.callback(1)
        assert await task == [1, 2]

    on_a_loop(play)


def test_a_loop_keeps_the_task_factory_that_it_has() -> None:
    async def play() -> None:
        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
            return asyncio.Task(coro, loop=loop, **options)

        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        understand_deferreds(loop)
        assert loop.get_task_factory() is factory

    on_a_loop(play)


def test_a_task_that_understands_deferreds_is_a_task_like_any_other() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        understand_deferreds(loop)

        async def work() -> str:
            await asyncio.sleep(0.001)
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        assert await loop.create_task(work(), name="mine") == "mine"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.create_task(asyncio.sleep(60)), 0.001)

    on_a_loop(play)
