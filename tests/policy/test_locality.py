"""How zones share calls: Envoy's worked tables of priorities and localities, and what is our own."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.locality import Zones, able, among, rank, spill, weighed

groups = st.lists(st.integers(1, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=5)


@pytest.mark.parametrize(
    ("healthy", "shares"),
    [
        # Envoy, "Priority levels": traffic to P=0, P=1, P=2 by their healthy percentages.
        ((100, 100, 100), (100, 0, 0)),
        ((72, 72, 100), (100, 0, 0)),
        ((71, 71, 100), (99, 1, 0)),
        ((50, 50, 100), (70, 30, 0)),
        ((25, 100, 100), (35, 65, 0)),
        ((25, 25, 100), (35, 35, 30)),
        ((25, 25, 20), (36, 36, 28)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_what_the_first_cannot_take_goes_to_the_next(healthy: tuple[int, ...], shares: tuple[int, ...]) -> None:
    found = spill([(each, 100) for each in healthy], 1.4)
    assert [100 * each for each in found] == pytest.approx(shares, abs=0.8)


def test_a_zone_that_is_half_gone_takes_less_than_its_weight() -> None:
    """Envoy, "Locality weighted load balancing": weights 1 and 2, and half of the second healthy."""
    assert weighed([(4, 4), (4, 4)], [1, 2], 1.4) == pytest.approx([1 / 3, 2 / 3])
    assert weighed([(4, 4), (2, 4)], [1, 2], 1.4) == pytest.approx([1 / 2.4, 1.4 / 2.4])
    assert weighed([(0, 4), (0, 4)], [1, 2], 1.4) == [0.0, 0.0]


@given(groups=groups, spare=st.floats(1.0, 4.0))
def test_shares_are_all_of_the_calls(groups: list[tuple[int, int]], spare: float) -> None:
    found = spill(groups, spare)
    assert all(share >= 0 for share in found)
    assert all(not share for share, (usable, _) in zip(found, groups, strict=True) if not usable)
    assert sum(found) == pytest.approx(1.0 if any(usable for usable, _ in groups) else 0.0)


@given(groups=groups)
def test_who_can_take_all_leaves_nothing_for_those_behind(groups: list[tuple[int, int]]) -> None:
    found = spill(groups, 1.4)
    for at, each in enumerate(groups):
        if able(each, 1.4) >= 1.0:
            assert sum(found[at + 1 :]) == pytest.approx(0.0)
            break


def test_ranks() -> None:
    assert [rank(each, "a", ("c", "b")) for each in ("a", "b", "c", "d", "")] == [0, 2, 1, 3, 3]
    assert rank("", "", ()) == 1


def test_a_group_is_picked_from_as_often_as_its_share_says() -> None:
    pick = among([lambda: "a", lambda: "b", lambda: "c"], [0.2, 0.0, 0.8], Random(1).random)
    counted = Counter(pick() for _ in range(10_000))
    assert 1800 < counted["a"] < 2200 and not counted["b"]


def test_one_group_needs_no_dice() -> None:
    def never() -> float:
        raise AssertionError("no dice were needed")

    assert among([lambda: "a", lambda: "b"], [0.0, 1.0], never)() == "b"


def test_a_small_zone_of_ones_own_is_not_preferred() -> None:
    zones = Zones((), {}, 1.4, 3)
    assert zones.shares({(0, ""): (2, 2), (1, ""): (4, 4)}) is None
    assert zones.shares({(0, ""): (3, 3), (1, ""): (4, 4)}) == [1.0, 0.0]


def test_without_a_zone_of_ones_own_the_order_holds() -> None:
    assert Zones((), {}, 1.4, 1).shares({(1, ""): (2, 2)}) is None
    assert Zones(("b",), {}, 1.4, 1).shares({(1, ""): (2, 2), (2, ""): (4, 4)}) == [1.0, 0.0]


def test_zones_that_are_not_named_have_weight_1() -> None:
    zones = Zones((), {"a": 3.0}, 1.4, 1)
    assert zones.shares({(0, "a"): (1, 1), (0, "z"): (1, 1)}) == [0.75, 0.25]


def test_enough() -> None:
    prefer, weighted = Zones((), {}, 1.4, 1), Zones((), {"a": 1.0}, 1.4, 1)
    assert prefer.enough({(0, ""): (0, 3), (1, ""): (3, 4)})
    assert not prefer.enough({(0, ""): (1, 3), (1, ""): (1, 4)})
    assert weighted.enough({(0, "a"): (3, 4), (0, "b"): (1, 1)})
    assert not weighted.enough({(0, "a"): (2, 4), (0, "b"): (1, 1)})
