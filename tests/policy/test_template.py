"""Paths with named segments."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.template import Template, fill, slots


@pytest.mark.parametrize(
    ("template", "path", "found"),
    [
        ("/a", "/a", {}),
        ("/a", "/a/", None),
        ("/{x}", "/a", {"x": "a"}),
        ("/{x}", "/", None),
        ("/{x=*}/b", "/a/b", {"x": "a"}),
        ("/*/b", "/a/b", {}),
        ("/*/b", "/a/c/b", None),
        ("/a.b/{x}", "/a.b/1", {"x": "1"}),
        ("/a.b/{x}", "/aXb/1", None),
        ("/files/**", "/files/a/b", {}),
        ("/files/**", "/files/", {}),
        ("/files/**", "/files", None),
        ("/{a}/{rest=**}", "/x/y/z", {"a": "x", "rest": "y/z"}),
        ("/{a}/{b}/", "/x/y/", {"a": "x", "b": "y"}),
        ("/{a}", "/%2F", {"a": "%2F"}),
    ],
)
def test_segments(template: str, path: str, found: object) -> None:
    made = Template(template)
    assert made.segments(path) == found
    assert made.matches(path) is (found is not None)


@pytest.mark.parametrize(
    ("template", "literal"),
    [("/a/b", "/a/b"), ("/{a}", "/"), ("/a/{b}/c", "/a/"), ("/a/b/**", "/a/b/"), ("/*", "/")],
)
def test_the_literal_part_in_front(template: str, literal: str) -> None:
    assert Template(template).literal == literal


@pytest.mark.parametrize("template", ["a", "", "/**/a", "/{a=**}/b", "/{a}/{a}", "/x{a}", "/{}", "/{1}", "/a*", "/{a"])
def test_what_is_none_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"^(expected|\{a\} stands twice)"):
        Template(template)


def test_texts_are_filled() -> None:
    assert slots("/v2/{id}/{other}") == ["id", "other"]
    assert fill("/v2/{id}/{other}", {"id": "7"}) == "/v2/7/"
