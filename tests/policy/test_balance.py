"""Picking: shares by weight, calls in flight, and who is never picked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.balance import BALANCES, least_request, pick_random, round_robin


@dataclass(eq=False)
class Server:
    name: str
    weight: int = 1
    active: int = 0


def servers(*weights: int) -> list[Server]:
    return [Server(f"s{at}", weight) for at, weight in enumerate(weights)]


def shares(picks: list[Server]) -> Counter[str]:
    return Counter(each.name for each in picks)


def never() -> float:
    raise AssertionError("no dice were needed")


weights = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@pytest.mark.parametrize("name", sorted(BALANCES))
@given(weights=weights, seed=st.integers(0, 2**32))
def test_every_balance_picks_only_candidates(name: str, weights: list[int], seed: int) -> None:
    candidates = servers(*weights)
    for at, each in enumerate(candidates):
        each.active = at % 3
    pick = BALANCES[name](candidates, Random(seed).random)
    assert all(pick() in candidates for _ in range(100))


@given(weights=weights, seed=st.integers(0, 2**32))
def test_a_round_gives_each_exactly_its_weight(weights: list[int], seed: int) -> None:
    pick = round_robin(servers(*weights), Random(seed).random)
    counted = shares([pick() for _ in range(2 * sum(weights))])
    assert counted == {f"s{at}": 2 * weight for at, weight in enumerate(weights)}


def test_round_robin_spreads_the_heavy_one_out() -> None:
    """5, 1, 1 never gives the heavy one more in a row than it must: 3 of 5 with two others between them."""
    pick = round_robin(servers(5, 1, 1), lambda: 0.0)
    assert [pick().name for _ in range(7)] == ["s0", "s1", "s0", "s0", "s0", "s2", "s0"]


def test_a_thousand_with_different_weights_take_turns_for_little() -> None:
    """A round of half a million turns: no turn looks at all of them, and each has its share after one round."""
    candidates = servers(*range(1, 1001))
    pick = round_robin(candidates, Random(2).random)
    counted = shares([pick() for _ in range(500_500)])
    assert all(abs(counted[each.name] - each.weight) <= 1 for each in candidates)


@given(
    weights=st.lists(st.floats(0.1, 50.0), min_size=1, max_size=12),
    start=st.floats(0.0, 1.0, exclude_max=True),
    name=st.sampled_from(sorted(BALANCES)),
)
def test_weights_may_be_fractions(name: str, weights: list[float], start: float) -> None:
    candidates = servers(*[1] * len(weights))
    dice = Random(int(start * 1000))
    pick = BALANCES[name](candidates, dice.random, weights)
    assert {pick().name for _ in range(20)} <= {each.name for each in candidates}


@pytest.mark.parametrize("name", sorted(BALANCES))
def test_given_weights_go_before_those_of_the_candidates(name: str) -> None:
    pick = BALANCES[name](servers(9, 1), Random(3).random, [0.5, 1.5])
    counted = shares([pick() for _ in range(4000)])
    assert 900 < counted["s0"] < 1100


def test_round_robin_begins_where_the_dice_say() -> None:
    pick = round_robin(servers(1, 1, 1), lambda: 0.5)
    assert [pick().name for _ in range(4)] == ["s1", "s2", "s0", "s1"]


def test_a_round_too_long_to_keep_is_worked_out() -> None:
    pick = round_robin(servers(4099, 4111), lambda: 0.0)
    counted = shares([pick() for _ in range(8210)])
    assert counted == {"s0": 4099, "s1": 4111}


def test_random_is_in_proportion_to_the_weights() -> None:
    pick = pick_random(servers(1, 2, 7), Random(7).random)
    counted = shares([pick() for _ in range(20_000)])
    assert 1700 < counted["s0"] < 2300
    assert 3600 < counted["s1"] < 4400
    assert 13_500 < counted["s2"] < 14_500


def test_random_among_equals_is_even() -> None:
    pick = pick_random(servers(3, 3, 3, 3), Random(7).random)
    assert all(4500 < count < 5500 for count in shares([pick() for _ in range(20_000)]).values())


def test_one_candidate_needs_no_dice() -> None:
    only = servers(4)
    assert least_request(only, never)() is only[0]


def test_of_two_the_less_busy_one_is_picked() -> None:
    left, right = servers(1, 1)
    pick = least_request([left, right], never)
    left.active = 1
    assert pick() is right
    right.active = 2
    assert pick() is left


def test_a_tie_of_two_is_settled_by_the_dice() -> None:
    pick = least_request(servers(1, 1), Random(3).random)
    assert all(4500 < count < 5500 for count in shares([pick() for _ in range(10_000)]).values())


def test_the_busiest_of_many_is_never_picked() -> None:
    """Each pair has two different members, so the one with the most in flight always loses."""
    candidates = servers(1, 1, 1, 1, 1)
    candidates[2].active = 9
    pick = least_request(candidates, Random(3).random)
    counted = shares([pick() for _ in range(10_000)])
    assert "s2" not in counted
    assert all(2200 < count < 2800 for count in counted.values())


def test_an_idle_cluster_is_shared_by_weight() -> None:
    pick = least_request(servers(1, 3, 6), Random(3).random)
    counted = shares([pick() for _ in range(20_000)])
    assert 1700 < counted["s0"] < 2300
    assert 5500 < counted["s1"] < 6500
    assert 11_300 < counted["s2"] < 12_700


def test_a_busy_cluster_is_levelled_by_calls_for_the_weight() -> None:
    """Calls that all last equally long: what is in flight settles near the weights."""
    candidates = servers(1, 2, 5)
    pick = least_request(candidates, Random(3).random)
    dice = Random(4)
    flying: list[Server] = []
    for _ in range(4000):
        picked = pick()
        picked.active += 1
        flying.append(picked)
        if len(flying) > 160:
            flying.pop(dice.randrange(len(flying))).active -= 1
    assert 12 < candidates[0].active < 28
    assert 30 < candidates[1].active < 50
    assert 85 < candidates[2].active < 115


def test_a_slow_one_gets_less() -> None:
    """One that takes ten times as long must not collect calls."""
    candidates = servers(1, 1, 1)
    pick = least_request(candidates, Random(5).random)
    counted: Counter[str] = Counter()
    ends: list[tuple[float, Server]] = []
    for now in range(6000):
        for end, server in [each for each in ends if each[0] <= now]:
            server.active -= 1
            ends.remove((end, server))
        picked = pick()
        picked.active += 1
        counted[picked.name] += 1
        ends.append((now + (40 if picked.name == "s0" else 4), picked))
    assert counted["s0"] < 900
