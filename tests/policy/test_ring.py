"""Consistent hashing: against Envoy's tables, and against what the papers promise."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.ring import MAGLEV_SIZE, HashRing, Maglev, bound, bounded, even_size, is_prime, key_hash

# Envoy's ring_hash_lb_test.cc and maglev_lb_test.cc: rings of 12 points over 6 hosts, tables of 7 entries.
HOSTS = [f"127.0.0.1:{port}" for port in range(90, 96)]
RING = {
    833437586790550860: "127.0.0.1:94",
    928266305478181108: "127.0.0.1:92",
    1033482794131418490: "127.0.0.1:90",
    3551244743356806947: "127.0.0.1:95",
    3851675632748031481: "127.0.0.1:93",
    5583722120771150861: "127.0.0.1:91",
    6311230543546372928: "127.0.0.1:91",
    7700377290971790572: "127.0.0.1:93",
    13144177310400110813: "127.0.0.1:95",
    13444792449719432967: "127.0.0.1:92",
    15516499411664133160: "127.0.0.1:94",
    16117243373044804889: "127.0.0.1:90",
}
LOOKUPS = [
    (0, "127.0.0.1:94"),
    (18446744073709551615, "127.0.0.1:94"),
    (3551244743356806947, "127.0.0.1:95"),
    (3551244743356806948, "127.0.0.1:93"),
    (16117243373044804880, "127.0.0.1:90"),
]
KEYS = [key_hash(f"user-{number}") for number in range(20_000)]


def ring(names: list[str], weights: Any = None, **bounds: int) -> HashRing[str]:
    return HashRing(names, names, weights or [1] * len(names), **bounds)


def maglev(names: list[str], weights: Any = None, size: int = MAGLEV_SIZE) -> Maglev[str]:
    return Maglev(names, names, weights or [1] * len(names), size=size)


def test_the_ring_is_envoys() -> None:
    made = ring(HOSTS, least=12)
    assert dict(made.points()) == RING
    assert [(key, made.pick(key)) for key, _ in LOOKUPS] == LOOKUPS


@pytest.mark.parametrize(
    "names, assigned",
    [(HOSTS, [2, 4, 0, 1, 5, 0, 3]), (["90", "91", "92", "93", "94", "95"], [2, 5, 0, 3, 4, 1, 0])],
)
def test_the_table_is_envoys(names: list[str], assigned: list[int]) -> None:
    made = maglev(names, size=7)
    assert [names.index(made.pick(place)) for place in range(7)] == assigned


@pytest.mark.parametrize("size", [0, 1, 5, 8, 65_536, 5_000_012])
def test_the_size_of_a_table_is_a_prime(size: int) -> None:
    with pytest.raises(ValueError, match=f"prime .*not {size}"):
        maglev(HOSTS, size=size)


@pytest.mark.parametrize("make", [ring, maglev])
def test_nothing_to_choose_from_is_refused(make: Any) -> None:
    for names, weights in (([], []), (["a", "a"], [1, 1]), (["a"], [0]), (["a"], [1, 1])):
        with pytest.raises(ValueError):
            make(names, weights)
    with pytest.raises(ValueError, match="at least 9 and at most 3"):
        ring(HOSTS, least=9, most=3)


@pytest.mark.parametrize("make", [ring, maglev])
def test_keys_follow_the_weights(make: Any) -> None:
    """A weight of 3 gets three times the keys, within what the ring's unevenness costs."""
    names = [f"10.0.0.{number}:80" for number in range(10)]
    made = make(names, [3, *[1] * 9])
    found = Counter(made.pick(each) for each in KEYS)
    assert len(found) == 10
    assert 0.15 < found[names[0]] / len(KEYS) < 0.35


def test_only_the_keys_of_the_one_that_left_move() -> None:
    """As long as the others keep their points: where the ring is as long as it may be, or as the weights ask for."""
    names = [f"10.0.0.{number}:80" for number in range(16)]
    before, after = ring(names, least=1024), ring(names[1:], least=960)
    others = [each for each in KEYS if before.pick(each) != names[0]]
    assert [before.pick(each) for each in others] == [after.pick(each) for each in others]


@pytest.mark.parametrize("make, most", [(ring, 0.05), (maglev, 0.05)])
def test_few_keys_move_when_one_leaves(make: Any, most: float) -> None:
    """Besides those of the one that left: a ring gives the others more points; Maglev as section 5.3 of the paper."""
    names = [f"10.0.0.{number}:80" for number in range(20)]
    before, after = make(names), make(names[1:])
    others = [each for each in KEYS if before.pick(each) != names[0]]
    moved = sum(before.pick(each) != after.pick(each) for each in others)
    assert moved <= most * len(others)
    # And when it comes back everything is as it was.
    again = make(names)
    assert [again.pick(each) for each in KEYS] == [before.pick(each) for each in KEYS]


def test_a_table_is_even() -> None:
    """Section 3.4: with a table a hundred times the number of endpoints, shares differ by 1 % at most."""
    names = [f"10.0.0.{number}:80" for number in range(100)]
    made = maglev(names)
    entries = Counter(made.pick(place) for place in range(len(made)))
    assert max(entries.values()) <= 1.01 * min(entries.values()) + 1


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    st.sampled_from([ring, maglev]),
)
def test_walks_meet_everybody_once_beginning_with_the_owner(weights: list[int], keys: list[int], make: Any) -> None:
    names = [f"e{number}" for number in range(len(weights))]
    made = ring(names, weights, least=64) if make is ring else maglev(names, weights, size=67)
    for key in keys:
        walked = list(made.walk(key))
        assert walked[0] == made.pick(key)
        assert len(walked) == len(set(walked))
        assert set(walked) <= set(names)


@given(
    st.integers(2, 8), st.floats(1.05, 3), st.lists(st.integers(0, 2**64 - 1), max_size=60), st.booleans()
)  # fmt: skip
def test_loads_are_bounded(count: int, factor: float, keys: list[int], rings: bool) -> None:
    """Mirrokni et al., theorem 1: nobody ever has more than ceil(factor times the mean)."""
    names = [f"e{number}" for number in range(count)]
    made: Any = ring(names, least=64) if rings else maglev(names, size=67)
    active: Counter[str] = Counter()
    for done, key in enumerate(keys):
        active[bounded(made, key, active.__getitem__, done, factor)] += 1
        assert max(active.values()) <= -(-factor * (done + 1) // count)


def test_a_key_stays_at_home_while_there_is_room() -> None:
    made = ring(HOSTS)
    assert all(bounded(made, each, lambda name: 0, 0, 1.25) == made.pick(each) for each in KEYS[:100])


def test_a_table_that_is_filled_in_steps_is_the_same() -> None:
    made = maglev(HOSTS, size=1009)
    steps = Maglev.fill(HOSTS, HOSTS, [1] * len(HOSTS), size=MAGLEV_SIZE)
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            filled: Maglev[str] = end.value
            break
    assert count > 10
    whole = maglev(HOSTS)
    assert all(filled.pick(key) == whole.pick(key) for key in KEYS)
    assert len(made) == 1009


def test_filling_in_steps_refuses_the_same() -> None:
    with pytest.raises(ValueError, match="a prime"):
        next(Maglev.fill(HOSTS, HOSTS, [1] * len(HOSTS), size=8))


@pytest.mark.parametrize("number, expected", [(1, False), (2, True), (9, False), (1009, True), (65_537, True)])
def test_primes(number: int, expected: bool) -> None:
    assert is_prime(number) is expected


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        ([1] * 10, 1280),
        ([1] * 9, 1152),
        ([1] * 8, 1024),
        ([1, 3], 1024),
        ([2, 2], 1024),
        ([1, 10**6], 16_384),
        ([5], 1024),
    ],
)
def test_the_points_of_the_lightest_are_a_power_of_two(weights: list[int], size: int) -> None:
    assert even_size(weights, 1024, 16_384) == size
    names = [str(each) for each in range(len(weights))]
    assert len(HashRing(names, names, weights, least=size, most=16_384)) == size


def test_the_bound_is_a_share_of_all_and_one_more() -> None:
    assert [bound(each, 10, 1.25) for each in (0, 7, 8, 79, 80)] == [1, 1, 2, 10, 11]
