"""Points on a circle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.points import Points, each_once


def test_the_owner_is_that_of_the_first_point_at_or_behind_and_the_circle_closes() -> None:
    ring = Points([(30, 1), (10, 0), (20, 1)], ["a", "b"])
    assert list(ring.points()) == [(10, "a"), (20, "b"), (30, "b")]
    assert len(ring) == 3
    assert [ring.pick(hashed) for hashed in (0, 10, 11, 20, 30, 31)] == ["a", "a", "b", "b", "b", "a"]
    assert list(ring.walk(11)) == ["b", "a"]
    assert list(ring.walk(31)) == ["a", "b"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=20), st.integers(0, 60))
def test_a_walk_begins_with_the_pick_and_meets_everyone_once(placed: list[tuple[int, int]], hashed: int) -> None:
    ring = Points(placed, ["a", "b", "c", "d"])
    met = list(ring.walk(hashed))
    assert met[0] == ring.pick(hashed)
    assert sorted(met) == sorted({"abcd"[owner] for _, owner in placed})


def test_what_is_met_for_the_first_time() -> None:
    one, other = [1], [1]
    # By identity: two owners may be equal.
    assert [each is other for each in each_once([one, other, one])] == [False, True]
