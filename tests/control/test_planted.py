"""Plain values become a tree whose problems name their place."""

from __future__ import annotations

from typing import Any

from twisted_mesh.control.planted import MAX_DEPTH, MAX_VALUES, Planting
from twisted_mesh.control.tree import locate
from twisted_mesh.model.scalars import plain


def plant(value: Any, **options: Any) -> tuple[Any, Planting]:
    planting = Planting("bus version 7", **options)
    return planting.value(value, planting.mark(planting.mark(None, ""), "web")), planting


def test_a_tree_holds_the_same_values() -> None:
    value = {"a": [1, 2.5, True, False, None, "text"], "b": {"c": {}}}
    tree, planting = plant(value)
    assert plain(tree) == value
    assert planting.problems == []


def test_each_value_knows_where_it_stands_and_there_are_no_lines() -> None:
    tree, _ = plant({"a": [{"b": 1}]})
    problem = locate(tree, ["a", 0, "b"]).problem("wrong")
    assert str(problem) == "bus version 7: web.a[0].b: wrong"


def test_texts_may_stand_for_something_else() -> None:
    def substitute(text: str) -> str:
        if "BAD" in text:
            raise ValueError("the environment has no variable BAD")
        return text.replace("${A}", "here")

    tree, planting = plant({"a": "${A}!", "b": "plain", "c": "file:x", "d": "${BAD}"}, substitute=substitute)
    assert plain(tree) == {"a": "here!", "b": "plain", "c": "file:x", "d": "${BAD}"}
    assert [str(each) for each in planting.problems] == ["bus version 7: web.d: the environment has no variable BAD"]


def test_what_nests_too_deep_is_refused_once() -> None:
    value: Any = []
    for _ in range(MAX_DEPTH * 3):
        value = [value, value]
    _, planting = plant(value)
    assert [each.message for each in planting.problems] == [f"nested more than {MAX_DEPTH} deep"]


def test_too_many_values_are_refused() -> None:
    _, planting = plant([0] * (MAX_VALUES + 5))
    assert [each.message for each in planting.problems] == [f"more than {MAX_VALUES:,} values"]
