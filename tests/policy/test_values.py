"""Conditions on values that stand under a name."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.policy.values import compile_check, cookie_values, query_values


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({}, [["a"], [""]], [[]]),
        ({"present": False}, [[]], [[""]]),
        ({"exact": "a"}, [["a"], ["b", "a"]], [[], ["ab"]]),
        ({"exact": ""}, [[""]], [[], ["a"]]),
        ({"prefix": "a"}, [["ab"], ["x", "a"]], [[], ["ba"]]),
        ({"suffix": "a"}, [["ba"]], [[], ["ab"]]),
        ({"contains": "a"}, [["bab"]], [[], ["b"]]),
        ({"regex": "a+"}, [["aa"], ["b", "a"]], [[], ["ab"]]),
        ({"exact": "a", "invert": True}, [[], ["b"]], [["a"], ["b", "a"]]),
        ({"present": False, "invert": True}, [["a"]], [[]]),
    ],
)
def test_conditions(condition: dict[str, Any], yes: list[list[str]], no: list[list[str]]) -> None:
    check = compile_check(**condition)
    assert [each for each in yes if not check(each)] == []
    assert [each for each in no if check(each)] == []


def test_a_query() -> None:
    assert query_values("a=1&b=%2f+x&a=2&c&=d&%zz=1") == {
        "a": ["1", "2"],
        "b": ["/ x"],
        "c": [""],
        "": ["d"],
        "%zz": ["1"],
    }
    assert query_values("") == {}
    assert query_values("a=%ff") == {"a": ["\udcff"]}


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        (["a=1"], ["1"]),
        (["b=1; a=2;a=3"], ["2", "3"]),
        (["a=1", "x=a; a=2"], ["1", "2"]),
        (['a="q"'], ["q"]),
        (['a="'], ['"']),
        (["a=b=c"], ["b=c"]),
        (["a; aa=1; A=2"], []),
        ([], []),
    ],
)
def test_cookies(lines: list[str], values: list[str]) -> None:
    assert cookie_values(lines, "a") == values
