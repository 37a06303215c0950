"""A quantile of latencies: close to the true one, and of late."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.quantile import Quantile


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@given(seed=st.integers(0, 1000), mean=st.sampled_from([0.0005, 0.01, 1.0]))
def test_it_is_within_a_tenth_of_the_true_one(share: float, seed: int, mean: float) -> None:
    dice = Random(seed)
    values = [dice.expovariate(1.0 / mean) for _ in range(500)]
    quantile = Quantile(share)
    for each in values:
        quantile.observe(each, 0.0)
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    assert quantile.estimate(0.0) == pytest.approx(max(true, 50e-6), rel=0.1)


def test_too_little_says_nothing() -> None:
    quantile = Quantile(0.9)
    for each in range(49):
        quantile.observe(0.01, each / 1000)
    assert quantile.estimate(0.05) == math.inf
    quantile.observe(0.01, 0.05)
    assert quantile.estimate(0.05) == pytest.approx(0.01, rel=0.1)
    assert repr(quantile).startswith("<Quantile 0.9 is 0.0")


def test_what_is_old_is_forgotten() -> None:
    quantile = Quantile(0.9, window=10.0)
    for _ in range(100):
        quantile.observe(1.0, 0.0)
    for _ in range(100):
        quantile.observe(0.01, 11.0)
    assert quantile.estimate(11.0) == pytest.approx(1.0, rel=0.1)
    for _ in range(100):
        quantile.observe(0.01, 21.0)
    assert quantile.estimate(21.0) == pytest.approx(0.01, rel=0.1)
    assert quantile.estimate(100.0) == math.inf


def test_the_shortest_and_the_longest_have_a_place() -> None:
    for seconds, estimate in ((0.0, 50e-6), (1e6, 50e-6 * 1.1**158.5)):
        quantile = Quantile(0.5, least=1)
        quantile.observe(seconds, 0.0)
        assert quantile.estimate(0.0) == pytest.approx(estimate)
