"""Waits before retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.backoff import decorrelated_jitter, full_jitter


def test_the_bound_doubles_up_to_the_limit() -> None:
    almost_one = 1 - 2**-53
    waits = [full_jitter(attempt, 0.025, 0.25, lambda: almost_one) for attempt in range(1, 7)]
    assert [round(each, 6) for each in waits] == [0.025, 0.075, 0.175, 0.25, 0.25, 0.25]


@given(st.integers(1, 10**9), st.floats(0, 10), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_negative_nor_over_the_limit(attempt: int, base: float, limit: float, dice: float) -> None:
    assert 0 <= full_jitter(attempt, base, limit, lambda: dice) <= limit


def test_waits_that_depend_on_the_one_before() -> None:
    assert decorrelated_jitter(0.05, 0.05, 10.0, lambda: 0.0) == 0.05
    assert decorrelated_jitter(0.05, 0.05, 10.0, lambda: 0.5) == pytest.approx(0.1)
    assert decorrelated_jitter(2.0, 0.05, 10.0, lambda: 1.0) == pytest.approx(6.0)
    assert decorrelated_jitter(9.0, 0.05, 10.0, lambda: 0.999) == 10.0
    assert decorrelated_jitter(0.0, 0.05, 10.0, lambda: 0.999) == pytest.approx(0.05)
