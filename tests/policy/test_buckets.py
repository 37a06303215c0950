"""Rates by key in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.buckets import Buckets
from twisted_mesh.policy.gcra import Gcra


class Counting(Buckets):
    """Counts who was forgotten."""

    dropped = 0

    def __init__(self, gcra: Gcra, most: int) -> None:
        super().__init__(gcra, most, self._count)

    def _count(self) -> None:
        self.dropped += 1


def buckets(count: int = 2, per: float = 1.0, burst: int = 2, most: int = 3) -> Counting:
    return Counting(Gcra(count, per, burst), most)


def test_each_key_has_its_own() -> None:
    made = buckets()
    assert [made.take(each, 5.0).admitted for each in "aaabb"] == [True, True, False, True, True]
    assert len(made) == 2


def test_what_is_whole_again_needs_no_room() -> None:
    made = buckets()
    for each in "abc":
        made.take(each, 0.0)
    assert made.take("d", 10.0).admitted
    assert (len(made), made.dropped) == (1, 0)


def test_the_first_is_forgotten_when_there_is_no_room() -> None:
    made = buckets(count=1, per=1000.0, burst=1)
    for each in "abc":
        made.take(each, 0.0)
    assert not made.take("a", 0.0).admitted
    assert made.take("d", 0.0).admitted
    assert (len(made), made.dropped) == (3, 1)
    assert made.take("a", 0.0).admitted, "it was forgotten"
    assert not made.take("d", 0.0).admitted


def test_a_refused_key_takes_no_room() -> None:
    made = buckets(burst=2)
    assert not made.take("a", 0.0, 3).admitted
    assert len(made) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 2)), max_size=60))
def test_memory_is_bounded(steps: list[tuple[str, float]]) -> None:
    made, now = buckets(), 0.0
    for key, passed in steps:
        now += passed
        made.take(key, now)
        assert len(made) <= 3


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 2), st.integers(1, 3)), max_size=60))
def test_to_admit_is_to_take_without_the_words(steps: list[tuple[str, float, int]]) -> None:
    one, other, now = buckets(), buckets(), 0.0
    for key, passed, units in steps:
        now += passed
        verdict, ahead = one.take(key, now, units), other.admit(key, now, units)
        assert verdict.admitted == (ahead >= 0)
        if verdict.admitted:
            assert verdict.reset_after == ahead
        assert (len(one), one.dropped) == (len(other), other.dropped)
