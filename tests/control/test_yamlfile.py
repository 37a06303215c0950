"""YAML 1.2 by the core schema, with positions, duplicates and bounds."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_mesh.control import yamlfile
from twisted_mesh.control.yamlfile import MAX_DEPTH, read_yaml
from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import plain


def read(text: str) -> tuple[Any, list[str]]:
    """Return the plain value and the problems of a text."""
    problems: list[Problem] = []
    tree = read_yaml(text, "f.yaml", problems)
    return plain(tree), [str(each) for each in problems]


@pytest.fixture(params=["c", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use each of PyYAML's parsers."""
    monkeypatch.setattr(yamlfile, "_LOADER", yaml.CSafeLoader if request.param == "c" else yaml.SafeLoader)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("22:22", "22:22"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("<<", "<<"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("1", 1),
        ("-1", -1),
        ("+1", 1),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1.10", 1.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        (".INF", math.inf),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int '1'", 1),
        ("!!float 1.5", 1.5),
        ("9" * 5000, "9" * 5000),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[a, [b], {c: 1}]", ["a", ["b"], {"c": 1}]),
        ("true: a\n1: b\n1.10: c\n~: d\n'x': e", {"true": "a", "1": "b", "1.10": "c", "~": "d", "x": "e"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("&x a: *x", {"a": "a"}),
        ("- &x a\n- *x : 1", ["a", {"a": 1}]),
        ("? a\n: b", {"a": "b"}),
        ("# nothing", None),
        ("---\na\n...\n", "a"),
    ],
)
def test_values_are_those_of_the_core_schema(text: str, value: object) -> None:
    assert read(text) == (value, [])


def test_nan_is_a_number() -> None:
    assert math.isnan(read(".nan")[0])


def test_numbers_keep_their_text() -> None:
    tree = read_yaml("[1.10, 0o10, true]", "f.yaml", [])
    assert [str(each) for each in tree] == ["1.10", "0o10", "true"]


def test_every_value_knows_where_it_stands() -> None:
    tree = read_yaml("a:\n  b: [1, {c: two}]\n", "f.yaml", [])
    assert [str(each.mark.problem("here")) for each in (tree, tree["a"]["b"], tree["a"]["b"][1]["c"])] == [
        "f.yaml:1:1: here",
        "f.yaml:2:6: a.b: here",
        "f.yaml:2:14: a.b[1].c: here",
    ]
    assert str(tree["a"].names["b"]) == "f.yaml:2:3"


def test_what_an_alias_stands_for_belongs_to_both_places() -> None:
    tree = read_yaml("a: &x {b: [1]}\nc: *x\n", "f.yaml", [])
    assert str(tree["c"]["b"][0].mark.problem("here")) == "f.yaml:1:12: c.b[0]: here"
    assert str(tree["a"]["b"][0].mark.problem("here")) == "f.yaml:1:12: a.b[0]: here"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: a: given twice; first at f.yaml:1:1"),
        ("x: {a: 1, 'a': 2}", "f.yaml:1:11: x.a: given twice; first at f.yaml:1:5"),
        ("a: *x", "f.yaml:1:4: a: there is no anchor &x before this"),
        ("a: &x [*x]", "f.yaml:1:8: a[0]: the alias *x stands inside its own anchor"),
        ("a\n---\nb", "f.yaml:2:1: expected one document in a file; write the second to a file of its own"),
        ("!x a", "f.yaml:1:1: unknown tag !x"),
        ("!!set {a}", "f.yaml:1:1: unknown tag tag:yaml.org,2002:set"),
        ("!!int a", "f.yaml:1:1: this is no !!int"),
        ("!!map [a]", "f.yaml:1:1: this is no !!map"),
        ("? [a]\n: 1", 'f.yaml:1:3: "?": expected text as a key'),
        ("a: \x07", "f.yaml:1:4: a character that no YAML file may hold: '\\x07'"),
        ("a: b\nc: \ud800", "f.yaml:2:4: a character that no YAML file may hold: '\\ud800'"),
        ("a: b: c", "f.yaml:1:5: not YAML: mapping values are not allowed in this context"),
        (
            "a: 1\n  b: 2",
            "f.yaml:2:4: not YAML: mapping values are not allowed in this context",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "f.yaml:2:2: not YAML: did not find expected ',' or ']' "
            "(while parsing a flow sequence that starts in line 1)",
        ),
        (
            "a:\n\tb: 1",
            "f.yaml:2:1: not YAML: found character that cannot start any token (while scanning for the next token "
            "that starts in line 2); put it in quotes, and indent with spaces",
        ),
    ],
)
def test_what_is_wrong_stands_in_one_line(text: str, problem: str) -> None:
    assert read(text)[1] == [problem]


def test_the_first_of_two_values_counts_and_the_rest_is_read() -> None:
    assert read("a: 1\na: 2\nb: 3")[0] == {"a": 1, "b": 3}


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? "])
def test_nesting_is_bounded_before_the_stack_is(opening: str) -> None:
    """libyaml's own composer, and PyYAML's over it, end the process here."""
    _, problems = read(opening * 100_000)
    assert len(problems) == 1
    assert problems[0].endswith(f": nested more than {MAX_DEPTH} deep")


def test_aliases_cannot_nest_deeper_either() -> None:
    deep = "[" * 20
    text = f"- &a {deep}x{']' * 20}\n- {deep}*a{']' * 20}\n"
    assert [each.rpartition(": ")[2] for each in read(text)[1]] == [f"nested more than {MAX_DEPTH} deep"]


def test_aliases_of_aliases_cannot_make_a_billion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "MAX_VALUES", 10_000)
    names = "abcdefghij"
    text = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise(names))
    _, problems = read(text)
    assert len(problems) == 1
    assert "more than 10,000 values" in problems[0]


def test_a_key_that_is_huge_or_odd_is_a_key() -> None:
    assert read('"a b": {"": 1}')[0] == {"a b": {"": 1}}


def test_scalars_are_substituted_and_what_fails_is_said() -> None:
    def substitute(text: str) -> str:
        if text == "${BAD}":
            raise ValueError("no BAD")
        return text.replace("${N}", "5")

    problems: list[Problem] = []
    tree = read_yaml("a: ${N}\nb: '${N}'\nc: ${BAD}\n${N}: 1", "f.yaml", problems, substitute)
    assert plain(tree) == {"a": 5, "b": "5", "c": "${BAD}", "${N}": 1}
    assert [str(each) for each in problems] == ["f.yaml:3:4: c: no BAD"]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    value, problems = read(text)
    assert problems or value is None or isinstance(value, (str, int, float, list, dict))


YAML_LIKE = st.text(alphabet="ab:-?,[]{}&*!|>'\"%@`#~ \n\t1.$\\", max_size=60)


@settings(deadline=None)
@given(YAML_LIKE)
def test_any_text_that_looks_like_yaml_is_read_or_refused(text: str) -> None:
    read(text)


# The three that are left out end lines for libyaml, as they did in YAML 1.1.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(alphabet=CHARACTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc \n:#", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_json_is_yaml(value: object) -> None:
    found, problems = read(json.dumps(value, ensure_ascii=False))
    # YAML holds fewer characters than JSON does.
    assert found == value or "no YAML file may hold" in problems[0]
