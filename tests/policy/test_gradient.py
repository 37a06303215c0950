"""Concurrency limits from latency."""

from __future__ import annotations

import heapq
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.gradient import Gradient, GradientRule

USUAL = GradientRule()


def measured(rule: GradientRule = USUAL, latency: float = 0.010) -> Gradient:
    """One whose ideal is known; it is 1 s."""
    gradient = Gradient(rule, lambda: 0.0, 0.0)
    for _ in range(rule.samples):
        gradient.ended(latency, 1.0)
    return gradient


def interval(gradient: Gradient, at: float, latency: float, active: int = 1000) -> int:
    gradient.begun(active, at)
    gradient.ended(latency, at)
    return gradient.limit


def test_the_ideal_is_measured_with_few_calls_at_once() -> None:
    gradient = Gradient(GradientRule(), lambda: 0.0, 0.0)
    assert (gradient.limit, gradient.measuring, gradient.ideal) == (3, True, 0.0)
    for number in range(49):
        gradient.ended(0.010 if number % 2 else 0.030, 1.0)
    assert gradient.measuring
    gradient.ended(0.010, 1.0)
    assert not gradient.measuring
    assert gradient.ideal == 0.010
    assert repr(gradient) == "<Gradient limit=3 0.0 ms of 10.0>"


def test_calls_that_had_begun_before_are_no_measure() -> None:
    gradient = measured()
    gradient.begun(1, 61.5)
    assert gradient.measuring
    for _ in range(50):
        gradient.ended(10.0, 62.0)
    assert gradient.measuring
    for _ in range(50):
        gradient.ended(0.2, 62.0)
    assert gradient.ideal == 0.2


# The limit before, the latency over the ideal, and the limit after.
@pytest.mark.parametrize(
    ("limit", "latency", "after"),
    [
        (100, 1.25, int(100 + sqrt(100))),
        (100, 1.0, int(125 + sqrt(125))),
        (100, 2.5, int(50 + sqrt(50))),
        # No less than half of it, and no more than twice.
        (100, 100.0, int(50 + sqrt(50))),
        (100, 0.01, int(200 + sqrt(200))),
        (4, 100.0, 3),
        (900, 1.0, 1000),
    ],
)
def test_the_next_limit(limit: int, latency: float, after: int) -> None:
    gradient = measured()
    gradient.limit = limit
    assert interval(gradient, 1.2, 0.010 * latency) == after


def test_a_limit_that_nobody_uses_does_not_grow() -> None:
    gradient = measured()
    gradient.limit = 100
    assert interval(gradient, 1.2, 0.010, active=49) == 100
    assert interval(gradient, 1.4, 0.010, active=50) > 100
    assert interval(gradient, 1.6, 1.0, active=1) < 100


def test_an_interval_is_as_long_as_it_says() -> None:
    gradient = measured()
    assert interval(gradient, 1.05, 0.010) == 3
    assert interval(gradient, 1.15, 0.010) > 3


def test_the_ideal_is_measured_again_and_the_limit_comes_back() -> None:
    gradient = measured()
    gradient.limit = 100
    gradient.begun(1, 60.9)
    assert not gradient.measuring
    gradient.begun(1, 61.0)
    assert (gradient.measuring, gradient.limit) == (True, 3)
    for _ in range(50):
        gradient.ended(0.020, 62.0)
    assert (gradient.measuring, gradient.limit, gradient.ideal) == (False, 100, 0.020)


def test_it_is_measured_a_little_later_by_the_dice() -> None:
    gradient = Gradient(GradientRule(), lambda: 0.999, 0.0)
    for _ in range(50):
        gradient.ended(0.010, 1.0)
    gradient.begun(1, 69.0)
    assert not gradient.measuring
    gradient.begun(1, 70.0)
    assert gradient.measuring


def test_an_upstream_that_has_become_slower_for_good_is_measured_anew() -> None:
    gradient = measured()
    for number in range(5):
        assert not gradient.measuring
        assert interval(gradient, 1.2 + number, 0.5) == 3
    assert gradient.measuring


def test_measuring_ends_where_every_call_fails() -> None:
    gradient = Gradient(GradientRule(samples=4), lambda: 0.0, 0.0)
    for _ in range(4):
        gradient.failed(1.0)
    assert (gradient.measuring, gradient.limit) == (False, 1000)
    # Nothing is known yet, so nothing is limited; soon it is tried again.
    assert interval(gradient, 1.5, 5.0) == 1000
    gradient.begun(1, 2.0)
    assert gradient.measuring
    for _ in range(2):
        gradient.failed(3.0)
        gradient.ended(0.1, 3.0)
    assert gradient.ideal == 0.1
    gradient.failed(3.0)


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 1.0), st.integers(0, 2000)), max_size=300))
def test_the_limit_stays_in_its_bounds(calls: list[tuple[float, float, int]]) -> None:
    rule = GradientRule(least=2, most=50, samples=3)
    gradient, now = Gradient(rule, lambda: 0.5, 0.0), 0.0
    for latency, passed, active in calls:
        now += passed
        gradient.begun(active, now)
        gradient.ended(latency, now)
        assert 2 <= gradient.limit <= 50


def test_the_limit_finds_what_an_upstream_can_do() -> None:
    """Ten workers of 10 ms and far too many callers: most of what is admitted finds a free worker."""
    gradient, now = Gradient(GradientRule(), lambda: 0.0, 0.0), 0.0
    free, running, limits, waits = [0.0] * 10, [], [], []
    heapq.heapify(free)
    for step in range(200_000):
        now = step * 0.0002
        while running and running[0][0] <= now:
            ended, begun = heapq.heappop(running)
            gradient.ended(ended - begun, ended)
        if len(running) < gradient.limit:
            gradient.begun(len(running) + 1, now)
            starts = max(now, heapq.heappop(free))
            heapq.heappush(free, starts + 0.010)
            heapq.heappush(running, (starts + 0.010, now))
            if now > 20:
                waits.append(starts - now)
        if now > 20 and not gradient.measuring:
            limits.append(gradient.limit)
    # Ten at work, and a queue that is as long as the buffer and the headroom allow.
    assert 10 <= sum(limits) / len(limits) <= 25
    assert sum(waits) / len(waits) < 0.012
