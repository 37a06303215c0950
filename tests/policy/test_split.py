"""Shares of several targets."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.split import split, split_by_place


def test_the_shares_follow_the_weights() -> None:
    draw = split([("a", 90), ("b", 10)], Random(1).random)
    counted = Counter(draw() for _ in range(10_000))
    assert 8800 < counted["a"] < 9200


def test_the_edges_of_the_dice_belong_to_someone() -> None:
    assert split([("a", 1), ("b", 1)], lambda: 0.0)() == "a"
    assert split([("a", 1), ("b", 1)], lambda: 0.5)() == "b"
    assert split([("a", 1), ("b", 1)], lambda: 1 - 2**-53)() == "b"


def test_one_target_needs_no_dice() -> None:
    def never() -> float:
        raise AssertionError("no dice were needed")

    assert split([("a", 1), ("b", 0)], never)() == "a"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers())
def test_a_weight_of_0_is_never_drawn(weights: list[int], seed: int) -> None:
    if not any(weights):
        with pytest.raises(ValueError, match="no target"):
            split(list(enumerate(weights)), Random(seed).random)
        return
    draw = split(list(enumerate(weights)), Random(seed).random)
    assert all(weights[draw()] > 0 for _ in range(50))


def test_places_have_the_same_target_every_time() -> None:
    pick = split_by_place([("a", 9), ("none", 0), ("b", 1)])
    assert [pick(place) for place in (0.0, 0.5, 0.89, 0.9, 1 - 2**-53)] == ["a", "a", "a", "b", "b"]
    assert split_by_place([("a", 1)])(0.7) == "a"


def test_only_what_a_weight_gains_moves() -> None:
    before, after = split_by_place([("a", 90), ("b", 10)]), split_by_place([("a", 80), ("b", 20)])
    places = [number / 1000 for number in range(1000)]
    moved = [place for place in places if before(place) != after(place)]
    assert len(moved) == 100
    assert {after(place) for place in moved} == {"b"}
