"""In what two answers differ."""

from __future__ import annotations

from twisted_mesh.policy.compare import Answer, differences

FIRST = Answer(200, {"etag": ["a"], "x": []}, 5, b"1")


def test_the_same_is_no_difference() -> None:
    assert differences(FIRST, FIRST._replace(headers={"etag": ("a",)})) == []


def test_every_difference_is_said() -> None:
    second = Answer(500, {"x": ["b", "c"]}, 6, b"2")
    assert differences(FIRST, second) == [
        "status 200 and 500",
        "header etag 'a' and missing",
        "header x missing and 'b, c'",
        "bodies of 5 and 6 bytes",
    ]
    assert differences(FIRST, FIRST._replace(digest=b"2")) == ["bodies of 5 bytes that are not the same"]


def test_what_is_not_compared_may_differ() -> None:
    assert differences(FIRST, FIRST._replace(status=500, size=6, digest=b"2"), status=False, body=False) == []


def test_long_values_are_cut() -> None:
    [found] = differences(FIRST._replace(headers={"x": ["a" * 1000]}), FIRST._replace(headers={"x": ["b"]}))
    assert len(found) < 120
