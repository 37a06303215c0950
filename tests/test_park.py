"""The one awaitable of the hot path, awaited by hand."""

from __future__ import annotations

import pytest

from twisted_mesh.park import Parked


def start(parked: Parked[int]) -> object:
    async def wait() -> int:
        return await parked

    coroutine = wait()
    assert coroutine.send(None) is parked
    return coroutine


def test_it_yields_itself_and_returns_its_value() -> None:
    parked: Parked[int] = Parked()
    coroutine = start(parked)
    parked.fire(7)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)  # type: ignore[attr-defined]
    assert stop.value.value == 7


def test_it_raises_its_error() -> None:
    parked: Parked[int] = Parked()
    coroutine = start(parked)
    parked.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        coroutine.send(None)  # type: ignore[attr-defined]


def test_firing_runs_the_waiter_once() -> None:
    parked: Parked[int] = Parked()
    runs: list[int] = []
    parked.resume = lambda: runs.append(1)
    parked.fire(1)
    parked.fire(2)
    assert runs == [1]


def test_failing_runs_the_waiter_once() -> None:
    parked: Parked[int] = Parked()
    runs: list[int] = []
    parked.resume = lambda: runs.append(1)
    parked.fail(ValueError())
    parked.fail(ValueError())
    assert runs == [1]


def test_who_fires_sees_that_nobody_waits_any_more() -> None:
    """This is how a connector knows that it must close what it has just opened."""
    parked: Parked[int] = Parked()
    start(parked)
    assert parked.resume is None
    parked.fire(1)
    assert parked.done


def test_a_failed_one_never_gives_a_value_later() -> None:
    parked: Parked[int] = Parked()
    parked.fail(ValueError("once"))

    async def wait() -> int:
        return await parked

    with pytest.raises(ValueError, match="once"):
        wait().send(None)
    with pytest.raises(RuntimeError, match="again"):
        wait().send(None)
