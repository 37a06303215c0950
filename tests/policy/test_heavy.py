"""The most frequent and the largest of many, by what Space-Saving promises and against exact counting."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.heavy import Frequent, Largest


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(1, 5)), max_size=200), st.integers(1, 6))
def test_no_count_is_too_low_nor_too_high_by_more_than_it_says(seen: list[tuple[str, int]], size: int) -> None:
    frequent: Frequent[str] = Frequent(size)
    exact: Counter[str] = Counter()
    for what, times in seen:
        frequent.add(what, times)
        exact[what] += times
    total = sum(exact.values())
    assert frequent.total == total
    assert len(frequent) == min(size, len(exact))
    known = {each.what: each for each in frequent.top(size)}
    for what, each in known.items():
        assert each.times - each.over <= exact[what] <= each.times
        assert each.over <= total / size
    for what, count in exact.items():
        assert count <= total / size or what in known


def test_a_few_hot_ones_of_a_million() -> None:
    dice = random.Random(7)
    frequent: Frequent[int] = Frequent(100)
    for _ in range(100_000):
        frequent.add(dice.randrange(5) if dice.random() < 0.2 else dice.randrange(1_000_000))
    assert {each.what for each in frequent.top(5)} == {0, 1, 2, 3, 4}
    assert len(frequent) == 100


def test_what_was_frequent_fades() -> None:
    frequent: Frequent[str] = Frequent(3)
    for what, times in (("old", 100), ("rare", 1)):
        frequent.add(what, times)
    for _ in range(4):
        frequent.fade(0.5)
    frequent.add("new", 50)
    assert [each.what for each in frequent.top(5)] == ["new", "old"]
    assert frequent.top(2)[1].times == pytest.approx(6.25)
    # And it can be filled again.
    for what in "abc":
        frequent.add(what, 7)
    assert frequent.top(1)[0].what == "new"


def test_the_largest() -> None:
    largest: Largest[str] = Largest(2, least=10)
    for what, size in (("a", 9), ("b", 10), ("c", 30), ("d", 20)):
        largest.add(what, size)
    assert largest.top(5) == [("c", 30), ("d", 20)]
    largest.add("c", 15)
    assert largest.top(5) == [("d", 20), ("c", 15)]
    largest.add("d", 1)
    assert largest.top(5) == [("c", 15)]
    largest.forget("c")
    largest.forget("never there")
    assert len(largest) == 0


@pytest.mark.parametrize("make", [lambda: Frequent(0), lambda: Largest(0, 1)])
def test_something_must_be_kept(make: object) -> None:
    with pytest.raises(ValueError, match="nothing can be kept"):
        make()  # type: ignore[operator]
