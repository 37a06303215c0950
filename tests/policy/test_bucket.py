"""Token buckets against Envoy's own cases (token_bucket_impl_test.cc)."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.policy.bucket import TokenBucket

CASES: list[tuple[float, float, list[tuple[int, str, int, float]]]] = [
    (3, 1, [(0, "take", 3, 3), (10_000, "take", 4, 0), (10_000, "take", 3, 3)]),
    (
        10,
        1,
        [
            (0, "take", 20, 0),
            (0, "take", 9, 9),
            (0, "take", 1, 1),
            (999, "take", 1, 0),
            (5999, "take", 6, 0),
            (6000, "take", 6, 6),
            (6000, "take", 1, 0),
        ],
    ),
    (1, 0.5, [(0, "take", 1, 1), (500, "take", 1, 0), (1500, "take", 1, 0), (2000, "take", 1, 1)]),
    (10, 5, [(0, "take", 9, 9), (0, "wait", 1, 0), (0, "take", 1, 1), (0, "take", 1, 0), (0, "wait", 1, 200)]),
    (
        16,
        16,
        [(0, "some", 18, 16), (0, "wait", 1, 62.5), (62, "some", 1, 0), (63, "some", 2, 1), (63, "wait", 1, 62)],
    ),
]


@pytest.mark.parametrize("size, rate, steps", CASES)
def test_envoys_cases(size: float, rate: float, steps: list[Any]) -> None:
    bucket = TokenBucket(size, rate, 50.0)
    for at, what, tokens, expected in steps:
        now = 50.0 + at / 1000
        if what == "take":
            assert bucket.take(tokens, now) is bool(expected)
        elif what == "some":
            assert bucket.take_some(tokens, now) == expected
        else:
            assert bucket.wait(now, tokens) * 1000 == pytest.approx(expected, abs=1e-6)


def test_a_clock_that_goes_back_adds_nothing() -> None:
    bucket = TokenBucket(1, 1, 100.0)
    assert bucket.take(1, 100.0)
    assert not bucket.take(1, 50.0)
    assert not bucket.take(1, 100.5)
    assert bucket.take(1, 101.0)


def test_more_than_it_holds_never_comes() -> None:
    assert TokenBucket(2, 1, 0.0).wait(0.0, 3) == float("inf")


@pytest.mark.parametrize("size, rate", [(0, 1), (1, 0), (-1, 1)])
def test_nothing_is_refused(size: float, rate: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        TokenBucket(size, rate, 0.0)
