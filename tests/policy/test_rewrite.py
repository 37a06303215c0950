"""Paths in the place of those that were asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.rewrite import replace_path, replace_prefix


@pytest.mark.parametrize(
    ("old", "new", "path", "expected"),
    [
        ("/api", "/v2", "/api", "/v2"),
        ("/api", "/v2", "/api/", "/v2/"),
        ("/api", "/v2", "/api/x/y", "/v2/x/y"),
        ("/api/", "/v2/", "/api/x", "/v2/x"),
        ("/api", "/", "/api", "/"),
        ("/api", "/", "/api/x", "/x"),
        ("/", "/v2", "/", "/v2/"),
        ("/", "/v2", "/x", "/v2/x"),
        ("/", "/", "/x", "/x"),
        ("/api", "/v2", "/apis", "/apis"),
        ("/api", "/v2", "*", "*"),
    ],
)
def test_prefixes(old: str, new: str, path: str, expected: str) -> None:
    assert replace_prefix(old, new)(path) == expected


@given(st.text("ab/", max_size=6), st.sampled_from(["/", "/a", "/a/b", "/b/"]))
def test_back_and_forth_is_the_same_path(rest: str, new: str) -> None:
    path = f"/old/x{rest}"
    assert replace_prefix(new, "/old")(replace_prefix("/old", new)(path)) == path


def test_whole_paths() -> None:
    assert replace_path("/new/{id}")("/a") == "/new/{id}"
    change = replace_path("/orders/{order}/of/{user}", "/users/{user}/orders/{order}")
    assert change("/users/7/orders/8") == "/orders/8/of/7"
    assert change("/other") == "/other"
