"""Values of the bus as YAML."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.bus.resource import Draft
from twisted_mesh.cli import yamltext
from twisted_mesh.cli.yamltext import WIDTH, dump, text_of
from twisted_mesh.control.yamlfile import read_yaml
from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import plain

TEXTS = st.one_of(
    st.sampled_from(["1e3", "0o7", "0x1F", "1.10", ".5", "5.", "-.inf", ".NaN", "on", "no", "null", "~", "", "22:22"]),
    st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\ufffe\uffff"), max_size=20),
    st.sampled_from(["a\nb\n", "a\n\n b", " x ", "# no", "- a", "a: b", "{", "true", "2001-01-01", "127.0.0.1:80"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_written_reads_back_as_the_same(value: Any) -> None:
    problems: list[Problem] = []
    tree = read_yaml(dump({"x": value}), "x", problems)
    assert not problems
    assert plain(tree) == {"x": value}


@given(VALUES)
def test_what_is_written_is_what_pyyaml_writes(value: Any) -> None:
    expected = yaml.dump(value, Dumper=yamltext._Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    assert dump(value) == expected


def test_long_lines_are_folded() -> None:
    words = "word " * 40 + "end"
    assert dump({"x": words}).count("\n") > 1
    assert dump({"k" * 200: 1}) == f"? {'k' * 200}\n: 1\n"


def test_a_resource_is_a_file_of_its_own() -> None:
    assert text_of("clusters/web", None) == ""
    assert text_of("routes/shop", Draft([{"to": "web"}], {"zone": "a"})) == (
        "select:\n  zone: a\nroutes:\n  shop:\n    - to: web\n"
    )
