"""Which calls are refused under load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.shedding import DEFAULT, HIGH, LOW, STANDING, Limits, StandingLag, refused

LAG = Limits(lag=0.1)
MEMORY = Limits(memory=1000)


@pytest.mark.parametrize(
    ("priority", "lag", "share"),
    [
        (LOW, 0.05, 0.0),
        (LOW, 0.075, 0.5),
        (LOW, 0.1, 1.0),
        (DEFAULT, 0.1, 0.0),
        (DEFAULT, 0.15, 0.5),
        (DEFAULT, 0.2, 1.0),
        (HIGH, 0.2, 0.0),
        (HIGH, 0.3, 0.5),
        (HIGH, 0.4, 1.0),
        (HIGH, 9.0, 1.0),
    ],
)
def test_by_lag(priority: int, lag: float, share: float) -> None:
    assert refused(priority, lag, 10**12, LAG) == (pytest.approx(share), "lag")


@pytest.mark.parametrize(
    ("priority", "memory", "share"),
    [(LOW, 800, 0.0), (LOW, 850, 0.5), (DEFAULT, 900, 0.0), (DEFAULT, 1000, 1.0), (HIGH, 950, 0.0), (HIGH, 1050, 1.0)],
)
def test_by_memory(priority: int, memory: int, share: float) -> None:
    assert refused(priority, 9.0, memory, MEMORY)[0] == pytest.approx(share)


def test_what_is_worse_counts() -> None:
    both = Limits(0.1, 1000)
    assert refused(DEFAULT, 0.2, 0, both) == (1.0, "lag")
    assert refused(DEFAULT, 0.0, 2000, both) == (1.0, "memory")


def test_without_limits_nothing_is_refused() -> None:
    assert refused(LOW, 9.0, 10**12, Limits())[0] == 0.0


@given(st.floats(0.0, 10.0), st.integers(0, 10_000))
def test_what_matters_less_goes_first(lag: float, memory: int) -> None:
    shares = [refused(each, lag, memory, Limits(0.1, 1000))[0] for each in (LOW, DEFAULT, HIGH)]
    assert shares == sorted(shares, reverse=True)
    assert all(0.0 <= each <= 1.0 for each in shares)


def test_a_single_pause_is_no_lag() -> None:
    lag = StandingLag()
    for _ in range(STANDING - 1):
        lag.observe(0.5)
    assert lag.value == 0.0
    lag.observe(0.3)
    assert lag.value == 0.5
    for _ in range(2):
        lag.observe(0.0)
        assert lag.value > 0.0
    lag.observe(0.0)
    assert lag.value == 0.0
    lag.observe(9.0)
    assert lag.value == 0.0
    for _ in range(STANDING):
        lag.observe(-1.0)
    assert repr(lag) == "<StandingLag 0.0 ms>"
    lag.observe(1.0)
    lag.clear()
    assert lag.value == 0.0
