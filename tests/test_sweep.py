"""One timer for many deadlines."""

from __future__ import annotations

from typing import Callable

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from twisted_mesh.sweep import SWEEP_INTERVAL, Sweep


def test_it_looks_as_long_as_somebody_watches_and_then_leaves_no_timer() -> None:
    clock = Clock()
    sweep = Sweep(clock, 1.0)
    left = [True, True, False]
    sweep.add(lambda: left.pop(0))
    assert clock.getDelayedCalls() == []
    sweep.wake()
    for _ in range(5):
        clock.advance(1.0)
    assert left == []
    assert clock.getDelayedCalls() == []


def test_it_looks_every_25_milliseconds() -> None:
    clock = Clock()
    sweep = Sweep(clock)
    times: list[float] = []

    def look() -> bool:
        times.append(clock.seconds())
        return len(times) < 3

    sweep.add(look)
    sweep.wake()
    clock.pump([SWEEP_INTERVAL] * 5)
    assert times == pytest.approx([SWEEP_INTERVAL, 2 * SWEEP_INTERVAL, 3 * SWEEP_INTERVAL])


def test_every_look_is_taken_although_the_first_is_busy() -> None:
    clock = Clock()
    sweep = Sweep(clock, 1.0)
    seen: list[str] = []

    def named(name: str, busy: bool) -> Callable[[], bool]:
        def look() -> bool:
            seen.append(name)
            return busy

        return look

    sweep.add(named("busy", True))
    sweep.add(named("idle", False))
    sweep.wake()
    clock.advance(1.0)
    assert seen == ["busy", "idle"]
    assert len(clock.getDelayedCalls()) == 1


def test_waking_twice_sets_one_timer() -> None:
    clock = Clock()
    sweep = Sweep(clock)
    sweep.wake()
    sweep.wake()
    assert len(clock.getDelayedCalls()) == 1


def test_a_look_that_was_removed_is_not_taken() -> None:
    clock = Clock()
    sweep = Sweep(clock, 1.0)
    seen: list[int] = []

    def look() -> bool:
        seen.append(1)
        return True

    sweep.add(look)
    sweep.wake()
    sweep.remove(look)
    sweep.remove(look)
    clock.advance(1.0)
    assert seen == []


def test_stopping_leaves_no_timer_even_from_inside_a_look() -> None:
    clock = Clock()
    sweep = Sweep(clock, 1.0)

    def look() -> bool:
        sweep.stop()
        return True

    sweep.add(look)
    sweep.wake()
    clock.advance(1.0)
    assert clock.getDelayedCalls() == []
    sweep.wake()
    sweep.stop()
    assert clock.getDelayedCalls() == []


def test_a_look_that_raises_is_logged_and_ends_no_other() -> None:
    clock = Clock()
    sweep = Sweep(clock, 1.0)
    logged: list[object] = []
    seen: list[int] = []

    def broken() -> bool:
        raise ValueError("broken look")

    def look() -> bool:
        seen.append(1)
        return False

    sweep.add(broken)
    sweep.add(look)
    sweep.wake()
    globalLogPublisher.addObserver(logged.append)
    try:
        clock.advance(1.0)
        clock.advance(1.0)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert seen == [1, 1]
    assert len(logged) == 2
    sweep.stop()
