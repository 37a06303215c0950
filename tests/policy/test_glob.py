"""Patterns of keys, beside Python's fnmatch and by Redis's own rules (stringmatchlen in util.c, as documented for KEYS)."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.glob import Glob


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("h?llo", ["hello", "hallo", "h\nllo"], ["hllo", "heello"]),
        ("h*llo", ["hllo", "heeeello"], ["hell"]),
        ("h[ae]llo", ["hello", "hallo"], ["hillo"]),
        ("h[^e]llo", ["hallo", "hbllo"], ["hello"]),
        ("h[a-b]llo", ["hallo", "hbllo"], ["hcllo"]),
        ("h[b-a]llo", ["hallo", "hbllo"], ["hcllo"]),
        (r"h\?llo", ["h?llo"], ["hello"]),
        (r"a\[b]", ["a[b]"], ["ab"]),
        ("user:*:cart", ["user:1:cart", "user::cart", "user:a:b:cart"], ["user:cart", "xuser:1:cart"]),
        ("*", ["", "anything\r\n"], []),
        ("***a", ["a", "bba"], ["ab"]),
        (r"[\]\-]", ["]", "-"], ["\\"]),
        ("{tag}.(x)+|^$", ["{tag}.(x)+|^$"], ["tag"]),
        ("ключ:?", ["ключ:ж"], ["ключ:"]),
        ("", [""], ["a"]),
    ],
)
def test_what_matches(pattern: str, matching: list[str], other: list[str]) -> None:
    glob = Glob(pattern)
    assert [each for each in [*matching, *other] if glob.matches(each)] == matching
    assert all(each.startswith(glob.literal) for each in matching)


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [("session:*", "session:"), (r"a\*b?", "a*b"), ("[ab]c", ""), ("plain", "plain"), ("a[b]c", "a")],
)
def test_what_every_match_begins_with(pattern: str, literal: str) -> None:
    assert Glob(pattern).literal == literal


@pytest.mark.parametrize(("pattern", "wrong"), [("a[b", "a ["), ("a[]", "a ["), ("a\\", "a \\ at the end")])
def test_what_is_none(pattern: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        Glob(pattern)


def test_a_pattern_that_redis_takes_for_ever_with() -> None:
    assert not Glob("*a" * 30).matches("a" * 29 + "b")


@given(st.text("ab*?.", max_size=8), st.text("ab.\n", max_size=8))
def test_it_agrees_with_fnmatch_where_both_know_the_pattern(pattern: str, key: str) -> None:
    assert Glob(pattern).matches(key) == (fnmatch.fnmatchcase(key, pattern))
