"""Thresholds, and who takes calls when some are down."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.health import Tally, usable


@dataclass(eq=False)
class Server:
    checked: bool = True
    healthy: bool = True


UP, DOWN, NEW = (True, True), (True, False), (False, True)


def cluster(*states: tuple[bool, bool]) -> list[Server]:
    return [Server(*each) for each in states]


def test_the_first_result_decides_at_once() -> None:
    up, down = Tally(2, 3), Tally(2, 3)
    assert up.add(True) and up.healthy is True
    assert down.add(False) and down.healthy is False
    assert repr(Tally(2, 3)) == "<Tally unchecked against=0>"


def test_it_takes_failures_in_a_row_to_fall() -> None:
    tally = Tally(2, 3, healthy=True)
    assert [tally.add(each) for each in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert tally.healthy is False


def test_it_takes_successes_in_a_row_to_rise() -> None:
    tally = Tally(2, 3, healthy=False)
    assert [tally.add(each) for each in (True, False, True, True)] == [False, False, False, True]
    assert repr(tally) == "<Tally healthy against=0>"


@given(st.lists(st.booleans(), max_size=50), st.integers(1, 5), st.integers(1, 5))
def test_every_change_follows_a_full_run(results: list[bool], rise: int, fall: int) -> None:
    tally = Tally(rise, fall)
    for at, result in enumerate(results):
        if tally.add(result):
            assert tally.healthy is result
            needed = 1 if at == 0 else rise if result else fall
            assert results[at + 1 - needed : at + 1] == [result] * needed


def test_only_healthy_ones_take_calls() -> None:
    one, two, three = cluster(UP, DOWN, UP)
    assert usable([one, two, three], 50) == ((one, three), False)


def test_below_the_threshold_all_take_calls() -> None:
    servers = cluster(UP, DOWN, DOWN)
    assert usable(servers, 50) == (tuple(servers), True)


def test_exactly_at_the_threshold_there_is_no_panic() -> None:
    servers = cluster(UP, DOWN)
    assert usable(servers, 50) == ((servers[0],), False)


def test_a_threshold_of_0_never_panics() -> None:
    servers = cluster(DOWN, DOWN)
    assert usable(servers, 0) == ((), False)
    assert usable(servers, 50) == (tuple(servers), True)


def test_unchecked_ones_wait_while_a_healthy_one_can_do_the_work() -> None:
    servers = cluster(UP, NEW, NEW)
    assert usable(servers, 50) == ((servers[0],), False)


def test_unchecked_ones_take_calls_when_nothing_healthy_is_known() -> None:
    servers = cluster(DOWN, NEW)
    assert usable(servers, 50) == ((servers[1],), False)
    fresh = cluster(NEW, NEW)
    assert usable(fresh, 0) == (tuple(fresh), False)


def test_no_endpoints_is_no_panic() -> None:
    assert usable([], 50) == ((), False)


@given(st.lists(st.sampled_from([UP, DOWN, NEW]), max_size=12), st.integers(0, 100))
def test_somebody_takes_calls_unless_panic_is_switched_off(states: list[tuple[bool, bool]], threshold: int) -> None:
    servers = cluster(*states)
    chosen, panicking = usable(servers, threshold)
    assert set(chosen) <= set(servers)
    assert chosen or not servers or threshold == 0
    if not panicking:
        assert all(each.healthy for each in chosen)
