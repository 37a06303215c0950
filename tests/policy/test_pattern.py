"""Expressions whose time is bounded agree with Python's own, which are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twisted_mesh.policy.pattern import MOST_POSITIONS, Pattern

PIECES = [*"ab1|*+?.()", "[ab]", "[^a]", "[a-b1]", "(?:", "{2}", "{1,}", "{0,2}", r"\d", r"\D", r"[\d_]", "a", "b"]


@given(st.lists(st.sampled_from(PIECES), max_size=9), st.lists(st.text("ab1\n", max_size=6), min_size=1, max_size=9))
def test_it_agrees_with_re(pieces: list[str], texts: list[str]) -> None:
    text = "".join(pieces)
    try:
        pattern = Pattern(text)
    except ValueError:
        assume(False)
    theirs = re.compile(text, re.DOTALL)
    for each in texts:
        assert pattern.matches(each) is bool(theirs.fullmatch(each)), (text, each)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("", [""], ["a"]),
        ("^/a$", ["/a"], ["/ab", "x/a"]),
        (r"/v\d+/[a-z-]+", ["/v1/a-b", "/v23/x"], ["/v/a", "/v1/A", "/v1/a/"]),
        (r"\.\[\\", [".[\\"], ["x[\\"]),
        (r"[]a][^]]", ["]x", "a["], ["a]"]),
        (r"[-a][a-]", ["--", "aa"], ["ab"]),
        (r"\t\n\s\S\w\W", ["\t\n xy/"], ["\t\nxxy/"]),
        ("(?i)abC[x-y]", ["ABcX", "abcy"], ["abz"]),
        ("a{0}b", ["b"], ["ab"]),
        ("(a|)+?b??", ["", "aaab"], ["ba"]),
        (r"[\w.]+", ["a_b.c"], ["a b"]),
        ("é|ü", ["é"], ["e"]),
    ],
)
def test_what_it_knows(text: str, yes: list[str], no: list[str]) -> None:
    pattern = Pattern(text)
    assert [each for each in yes if not pattern.matches(each)] == []
    assert [each for each in no if pattern.matches(each)] == []


@pytest.mark.parametrize("text", ["a" * (MOST_POSITIONS + 1), "((a{100}){100}){100}"])
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the expression is too large"):
        Pattern(text)


def test_it_takes_one_step_for_each_character() -> None:
    """Python's own expression takes twice as long for each character of this text; here each state is met again."""
    pattern = Pattern("(a+)+b")
    assert not pattern.matches("a" * 5000)
    assert pattern.matches("a" * 5000 + "b")
    assert len(pattern._states) < 5


def test_what_it_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.policy.pattern._MOST_STEPS", 20)
    pattern = Pattern(".*a.{8}")
    for number in range(300):
        text = f"{number:b}".replace("1", "a")
        assert pattern.matches(text) is (text[-9:-8] == "a")
        assert pattern._steps <= 20
        assert len(pattern._states) <= 21
