"""Marks, and the ways through a tree."""

from __future__ import annotations

import pytest

from twisted_mesh.control.tree import locate, path_text
from twisted_mesh.control.yamlfile import read_yaml

TREE = read_yaml("listeners:\n  edge:\n    bind: a:1\n    routes:\n      - {to: {x: 1}}\n", "f.yaml", [])


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("listeners", "edge", "routes", 2, "timeout"), "listeners.edge.routes[2].timeout"),
        ((0, 1, "a"), "[0][1].a"),
        (("a", "b.c", 1, "d e"), 'a."b.c"[1]."d e"'),
    ],
)
def test_a_way_is_written_as_users_do(keys: tuple[str | int, ...], text: str) -> None:
    assert path_text(keys) == text


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ((), "f.yaml:1:1"),
        (("listeners", "edge"), "f.yaml:3:5"),
        (("listeners", "edge", "bind", 0, "address"), "f.yaml:3:11"),
        (("listeners", "edge", "routes", "list", 0, "to", 0, "weight"), "f.yaml:5:14"),
        (("listeners", "edge", "routes", 7), "f.yaml:5:7"),
        (("nowhere", 5, None), "f.yaml:1:1"),
    ],
)
def test_what_is_no_key_is_skipped(keys: tuple[object, ...], place: str) -> None:
    assert str(locate(TREE, keys)) == place
