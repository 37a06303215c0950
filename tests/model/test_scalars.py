"""Scalars keep their text."""

from __future__ import annotations

import pytest

from twisted_mesh.model.scalars import Flag, Real, Text, Whole, plain, scalar


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [(Text, "a", "a"), (Flag, "false", "false"), (Whole, 8, "0o10"), (Real, 1.1, "1.10")],
)
def test_the_text_stays_and_so_does_the_value(kind: type, value: object, text: str) -> None:
    made = scalar(kind, value, text, "a mark")
    assert made == value
    assert str(made) == text
    assert made.mark == "a mark"


def test_a_flag_is_true_or_false_by_its_text() -> None:
    assert bool(scalar(Flag, "True", "True", None))
    assert not scalar(Flag, "false", "false", None)


def test_plain_values_are_of_the_plain_types() -> None:
    tree = {
        "a": [scalar(Flag, "true", "true", None), scalar(Whole, 1, "1", None), scalar(Real, 1.5, "1.5", None), None]
    }
    assert plain(tree) == {"a": [True, 1, 1.5, None]}
    assert [type(each) for each in plain(tree)["a"]] == [bool, int, float, type(None)]
    assert type(plain(scalar(Text, "a", "a", None))) is str
