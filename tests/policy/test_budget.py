"""Retry budgets: the load stays within the share, whatever fails."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.budget import BudgetRule, RetryBudget


def test_a_few_retries_are_free() -> None:
    budget = RetryBudget(BudgetRule())
    budget.call(0.0)
    assert [budget.take(0.0) for _ in range(32)] == [True] * 30 + [False] * 2
    assert [budget.take(11.0) for _ in range(31)] == [True] * 30 + [False]
    strict = RetryBudget(BudgetRule(least=0.5, window=4.0))
    assert [strict.take(0.0) for _ in range(3)] == [True, True, False]


def test_retries_are_a_share_of_the_calls() -> None:
    budget = RetryBudget(BudgetRule(percent=10.0, least=0))
    for _ in range(100):
        budget.call(5.0)
    assert [budget.take(5.0) for _ in range(11)] == [True] * 10 + [False]
    assert repr(budget) == "<RetryBudget 10 retries of 100 calls>"


def test_the_window_moves_on_in_parts() -> None:
    budget = RetryBudget(BudgetRule(percent=100.0, least=0))
    for second in range(10):
        budget.call(float(second))
    assert budget.take(9.5)
    assert repr(budget) == "<RetryBudget 1 retries of 10 calls>"
    assert not RetryBudget(BudgetRule(least=0)).take(0.0)
    taken = 0
    while budget.take(14.5):
        taken += 1
    assert taken == 4, "five calls are left, and one retry"
    assert not budget.take(1000.0)
    budget.call(1000.0)
    assert budget.take(1000.0) and not budget.take(1000.0)


@pytest.mark.parametrize("failing", [0.1, 0.5, 1.0])
def test_with_an_upstream_that_fails_the_load_stays_within_the_share(failing: float) -> None:
    """What the issue of retry storms is about: three tries each, and never more than 1.2 times what was asked for."""
    dice, budget = Random(1).random, RetryBudget(BudgetRule())
    calls = sent = 0
    for each in range(60_000):
        now = each * 0.001
        calls += 1
        budget.call(now)
        sent += 1
        for _ in range(2):
            if dice() >= failing or not budget.take(now):
                break
            sent += 1
    assert sent <= 1.2 * calls + 30
    assert sent >= calls * min(1.19, 1 + failing * 0.9)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3))), st.integers(0, 5))
def test_within_any_window_it_holds(steps: list[tuple[bool, float]], least: int) -> None:
    budget, now = RetryBudget(BudgetRule(percent=50.0, least=least / 10)), 0.0
    calls: list[float] = []
    retries: list[float] = []
    for is_call, passed in steps:
        now += passed
        if is_call:
            calls.append(now)
            budget.call(now)
        elif budget.take(now):
            retries.append(now)
            # It forgets in parts of a second, so what it saw is nine to ten seconds.
            seen = sum(each > now - 9.0 for each in retries)
            assert seen <= max(least, 0.5 * sum(each > now - 11.0 for each in calls))
