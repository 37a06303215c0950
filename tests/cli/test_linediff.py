"""The lines in which two texts differ."""

from __future__ import annotations

import difflib
from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.cli import linediff
from twisted_mesh.cli.linediff import unified

LINES = st.lists(st.integers(0, 12).map(str), max_size=25)


def applied(before: Sequence[str], diff: Sequence[str]) -> list[str]:
    """Return what a diff makes of a text; it must fit."""
    after: list[str] = []
    at = 0
    for line in diff[2:]:
        kind, text = line[0], line[1:]
        if kind == "@":
            first, _, length = line.split()[1][1:].partition(",")
            start = int(first) if length == "0" else int(first) - 1
            after += before[at:start]
            at = start
            continue
        if kind != "+":
            assert before[at] == text
            at += 1
        if kind != "-":
            after.append(text)
    return [*after, *before[at:]]


@given(LINES, LINES)
def test_short_texts_are_compared_as_difflib_does(before: list[str], after: list[str]) -> None:
    expected = list(difflib.unified_diff(before, after, "old", "new", lineterm=""))
    assert list(unified(before, after, "old", "new")) == expected


@given(LINES, LINES)
def test_what_differs_turns_one_text_into_the_other(before: list[str], after: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linediff, "SHORT", 0)
        diff = list(unified(before, after, "old", "new"))
    assert applied(before, diff) == after
    assert bool(diff) == (before != after)


def table(routes: int, timeout: str) -> list[str]:
    return [
        line
        for at in range(routes)
        for line in (f"- name: r{at}", "  methods:", "  - GET", "  - HEAD", f"  timeout: {timeout}", "  retry: 3")
    ]


def test_long_texts_differ_in_the_lines_that_differ() -> None:
    """Of 12,000 lines each route has a changed one, one is gone and one has come; difflib would take half a minute."""
    before, after = table(2000, "10s"), table(2000, "20s")
    del before[600:606]
    del after[6000:6006]
    diff = list(unified(before, after, "old", "new"))
    assert applied(before, diff) == after
    changed = [each for each in diff[2:] if each[0] in "+-"]
    assert len(changed) == 2 * 1998 + 2 * 6


def test_long_texts_without_a_line_of_their_own_end_too() -> None:
    before, after = ["a", "b", "c"] * 2000, ["a", "c", "b"] * 2000
    diff = list(unified(before, after, "old", "new"))
    assert applied(before, diff) == after


def test_equal_long_texts_do_not_differ() -> None:
    lines = table(2000, "1s")
    assert list(unified(lines, list(lines), "old", "new")) == []
