"""GCRA against redis-cell's own cases, and against a token bucket as the simpler model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.gcra import Gcra, Grant

# redis-cell, src/cell/mod.rs: burst 4 (limit 5), one a second; (t in ms, units, remaining, reset, retry, limited).
CASES = [
    (0, 6, 5, 0, -1000, True),
    (0, 1, 4, 1000, -1000, False),
    (0, 1, 3, 2000, -1000, False),
    (0, 1, 2, 3000, -1000, False),
    (0, 1, 1, 4000, -1000, False),
    (0, 1, 0, 5000, -1000, False),
    (0, 1, 0, 5000, 1000, True),
    (3000, 1, 2, 3000, -1000, False),
    (3100, 1, 1, 3900, -1000, False),
    (4000, 1, 1, 4000, -1000, False),
    (8000, 1, 4, 1000, -1000, False),
    (9500, 1, 4, 1000, -1000, False),
    (9500, 0, 4, 1000, -1000, False),
    (9500, 2, 2, 3000, -1000, False),
    (9500, 5, 2, 3000, 3000, True),
]


def test_redis_cells_cases() -> None:
    """Where redis-cell says -1000 for "not limited", we say 0; for "never", -1."""
    gcra, arrival = Gcra(1, 1.0, 5), 0.0
    for at, units, remaining, reset, retry, limited in CASES:
        arrival, verdict = gcra.take(arrival, 100.0 + at / 1000, units)
        assert verdict.admitted is not limited
        assert verdict.remaining == remaining
        assert verdict.reset_after == pytest.approx(reset / 1000, abs=1e-6)
        expected = -1.0 if limited and units > 5 else max(0, retry) / 1000
        assert verdict.retry_after == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count, per, interval", [(24, 86400, 3600), (6, 3600, 600), (6, 120, 20), (5, 1, 0.2)])
def test_rates(count: int, per: float, interval: float) -> None:
    assert Gcra(count, per, 1).interval == pytest.approx(interval)


@pytest.mark.parametrize("count, per, burst", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_no_rate_is_refused(count: int, per: float, burst: int) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Gcra(count, per, burst)


@given(
    st.integers(1, 50), st.integers(1, 20), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5)), max_size=60)
)
def test_it_is_a_token_bucket(rate: int, burst: int, steps: list[tuple[int, int]]) -> None:
    """In whole thousandths, so that the model has no rounding: the same calls pass."""
    gcra, arrival, now = Gcra(rate, 1.0, burst), 0.0, 1000.0
    tokens, at = burst * 1000, 0
    for passed, units in steps:
        at += passed
        tokens = min(burst * 1000, tokens + passed * rate)
        arrival, verdict = gcra.take(arrival, now + at / 1000, units)
        assert verdict.admitted is (tokens >= units * 1000)
        if verdict.admitted:
            tokens -= units * 1000
        assert verdict.remaining == tokens // 1000


def test_what_is_there_of_what_is_wanted_is_granted() -> None:
    gcra = Gcra(10, 1.0, 10)
    arrival, grant = gcra.grant(0.0, 100.0, 8)
    assert grant == Grant(8, 2, pytest.approx(0.8), 0.0)
    arrival, grant = gcra.grant(arrival, 100.0, 8)
    assert grant == Grant(2, 0, pytest.approx(1.0), 0.0)
    arrival, grant = gcra.grant(arrival, 100.0, 8)
    assert grant == Grant(0, 0, pytest.approx(1.0), pytest.approx(0.1))
    arrival, grant = gcra.grant(arrival, 100.5, 8)
    assert grant.granted == 5


def test_less_than_the_least_is_no_use() -> None:
    gcra = Gcra(10, 1.0, 10)
    arrival, _ = gcra.grant(0.0, 100.0, 8)
    arrival, grant = gcra.grant(arrival, 100.0, 5, 3)
    assert grant == Grant(0, 2, pytest.approx(0.8), pytest.approx(0.1))


def test_what_was_used_without_asking_is_taken_and_what_was_not_used_comes_back() -> None:
    gcra = Gcra(10, 1.0, 10)
    arrival, grant = gcra.grant(0.0, 100.0, 10, 1, 4)
    assert (grant.granted, grant.remaining) == (6, 0)
    arrival, grant = gcra.grant(arrival, 100.0, 0, 0, -3)
    assert grant == Grant(0, 3, pytest.approx(0.7), 0.0)
    arrival, grant = gcra.grant(arrival, 100.0, 0, 0, -100)
    assert grant.remaining == 10
    arrival, grant = gcra.grant(arrival, 100.0, 1, 1, 100)
    assert grant == Grant(0, 0, pytest.approx(1.0), pytest.approx(0.1))


@given(
    st.lists(st.tuples(st.floats(0.0, 0.5), st.integers(1, 12), st.integers(1, 12)), max_size=60),
)
def test_all_that_is_granted_conforms(asked: list[tuple[float, int, int]]) -> None:
    gcra = Gcra(10, 1.0, 10)
    now, arrival, kept = 100.0, 0.0, 0.0
    for gap, want, least in asked:
        now += gap
        arrival, grant = gcra.grant(arrival, now, max(want, least), least)
        assert grant.granted == 0 or grant.granted >= least
        kept, verdict = gcra.take(kept, now, grant.granted)
        assert verdict.admitted
        assert verdict.remaining == grant.remaining
        arrival = kept
