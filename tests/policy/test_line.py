"""Who waits, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.line import Line, Place


def test_what_matters_more_stands_in_front() -> None:
    line: Line[str] = Line()
    for name, priority in (("a", 0), ("b", -1), ("c", 1), ("d", 0), ("e", 1)):
        assert line.join(name, priority, 9) == Place(True)
    assert list(line) == ["c", "e", "a", "d", "b"]
    assert [line.first() for _ in range(5)] == ["c", "e", "a", "d", "b"]
    assert not line
    assert repr(line) == "<Line of 0>"
    with pytest.raises(IndexError, match="nobody waits"):
        line.first()


def test_what_matters_less_makes_room() -> None:
    line: Line[str] = Line()
    assert line.join("a", -1, 2) == line.join("b", -1, 2) == Place(True)
    assert line.join("c", -1, 2) == Place(False)
    assert line.join("d", 0, 2) == Place(True, "b")
    assert line.join("e", 1, 2) == Place(True, "a")
    assert line.join("f", 0, 2) == Place(False)
    assert line.join("g", 1, 2) == Place(True, "d")
    assert line.join("h", 1, 2) == Place(False)
    assert list(line) == ["e", "g"]
    assert line.join("i", 1, 0) == Place(False)


def test_who_leaves_waits_no_more() -> None:
    line: Line[str] = Line()
    line.join("a", 0, 9)
    line.join("b", 0, 9)
    assert line.leave("a", 0)
    assert not line.leave("a", 0)
    assert not line.leave("b", 1)
    assert list(line) == ["b"]


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(["join", "first", "leave"]), st.integers(-1, 1), st.integers(0, 30))),
)
def test_against_a_sorted_list(most: int, steps: list[tuple[str, int, int]]) -> None:
    """The model: everybody in one list, sorted by priority and then by when they came."""
    line: Line[int] = Line()
    model: list[tuple[int, int]] = []
    for number, (what, priority, which) in enumerate(steps):
        if what == "join":
            expected: Place[int] = Place(False)
            if len(model) < most:
                expected = Place(True)
            elif model and -model[-1][0] < priority:
                expected = Place(True, model.pop()[1])
            assert line.join(number, priority, most) == expected
            if expected.waits:
                model = sorted([*model, (-priority, number)])
        elif what == "first" and model:
            assert line.first() == model.pop(0)[1]
        elif what == "leave" and model:
            at = model[which % len(model)]
            assert line.leave(at[1], -at[0])
            model.remove(at)
        assert list(line) == [each for _, each in model]
        assert len(line) == len(model)
