"""Peak EWMA: at once up, slowly down, and in proportion to what is in flight."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.ewma import DECAY, REFUSED, REFUSED_MOST, UNKNOWN, PeakEwma, peak_ewma


def test_one_that_is_not_known_has_the_default() -> None:
    assert PeakEwma(5.0).latency(5.0) == UNKNOWN


def test_a_slow_answer_counts_at_once_and_fades() -> None:
    ewma = PeakEwma(0.0)
    ewma.observe(2.0, 1.0)
    assert ewma.latency(1.0) == 2.0
    ewma.observe(0.01, 1.0)
    assert ewma.latency(1.0) == 2.0
    ewma.observe(0.01, 1.0 + DECAY)
    assert ewma.latency(1.0 + DECAY) == pytest.approx(2.0 / exp(1) + 0.01 * (1 - 1 / exp(1)))


def test_silence_is_good_news() -> None:
    """One that nobody calls because it was slow is tried again some time."""
    ewma = PeakEwma(0.0)
    ewma.observe(2.0, 0.0)
    assert ewma.latency(10 * DECAY) < 0.001


def test_the_cost_is_for_the_calls_in_flight_and_the_weight() -> None:
    ewma = PeakEwma(0.0)
    ewma.observe(0.5, 0.0)
    assert ewma.cost(3, 1, 0.0) == pytest.approx(2.0, rel=1e-4)
    assert ewma.cost(3, 2, 0.0) == pytest.approx(1.0, rel=1e-4)
    ewma.observe(0.0, 1e6)
    assert ewma.cost(1, 1, 1e6) > ewma.cost(0, 1, 1e6) > 0.0


def test_a_refusal_is_no_fast_answer() -> None:
    ewma = PeakEwma(0.0)
    ewma.refused(0.0, 0.0)
    assert ewma.latency(0.0) == REFUSED
    ewma.refused(60.0, 0.0)
    assert ewma.latency(0.0) == 60.0
    ewma.refused(1e9, 0.0)
    assert ewma.latency(0.0) == REFUSED_MOST


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), max_size=30))
def test_it_stays_between_the_extremes(steps: list[tuple[float, float]]) -> None:
    """Whatever the clock does."""
    ewma, now, highest = PeakEwma(0.0), 0.0, UNKNOWN
    for seconds, passed in steps:
        now += passed
        highest = max(highest, seconds)
        ewma.observe(seconds, now)
        assert 0.0 <= ewma.latency(now) <= highest


def test_the_decay_is_checked() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        PeakEwma(0.0, decay=0.0)


@dataclass
class One:
    name: str
    weight: int = 1
    active: int = 0


def picks(candidates: list[One], latencies: list[float], count: int = 2000) -> dict[str, int]:
    """How often each is picked, at time 0."""
    known = []
    for each in latencies:
        known.append(PeakEwma(0.0, unknown=each))
    pick = peak_ewma(candidates, known, Random(1).random, lambda: 0.0)
    counted = {each.name: 0 for each in candidates}
    for _ in range(count):
        counted[pick().name] += 1
    return counted


def test_the_faster_of_two_is_picked() -> None:
    assert picks([One("a"), One("b")], [0.1, 0.2]) == {"a": 2000, "b": 0}
    assert picks([One("a")], [0.1]) == {"a": 2000}


def test_what_is_in_flight_and_the_weight_count() -> None:
    assert picks([One("a", active=3), One("b", active=1)], [0.1, 0.15])["b"] == 2000
    assert picks([One("a", active=3, weight=4), One("b", active=1)], [0.1, 0.15])["a"] == 2000


def test_weights_that_are_given_go_before_those_of_the_candidates() -> None:
    known = [PeakEwma(0.0, unknown=0.1), PeakEwma(0.0, unknown=0.1)]
    pick = peak_ewma([One("a", weight=9), One("b")], known, Random(1).random, lambda: 0.0, [0.5, 1.0])
    assert {pick().name for _ in range(50)} == {"b"}


def test_of_three_the_slowest_is_never_picked_and_the_others_are_shared() -> None:
    counted = picks([One("a"), One("b"), One("c")], [0.1, 0.1, 5.0])
    assert counted["c"] == 0
    assert 850 < counted["a"] < 1150
