"""How messages show what they got."""

from __future__ import annotations

import pytest

from twisted_mesh.model.scalars import Flag, Whole, scalar
from twisted_mesh.model.text import describe, expected


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        (2.5, "2.5"),
        ("a", '"a"'),
        ('say "a"\n', '"say \\"a\\"\\n"'),
        ("x" * 100, '"' + "x" * 57 + '..."'),
        ([], "a list"),
        ((), "a list"),
        ({}, "a mapping"),
        (object(), "object"),
        (scalar(Flag, "true", "true", None), "true"),
        (scalar(Whole, 8, "0o10", None), "0o10"),
    ],
)
def test_a_value_is_shown_in_a_few_words(value: object, shown: str) -> None:
    assert describe(value) == shown


def test_an_error_says_what_would_be_right() -> None:
    assert str(expected("a name", 5)) == "expected a name, got 5"
