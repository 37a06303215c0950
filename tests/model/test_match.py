"""What a match can ask for: forms, defaults, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.match import Match, PathMatch, TextMatch


def test_one_value_is_a_list_of_one() -> None:
    match = Match.model_validate({"host": "Shop.Example", "method": "GET", "path": "/a", "header": {"x": "1"}})
    assert match == Match(
        host=("shop.example",), method=("GET",), path=PathMatch(exact="/a"), header={"x": TextMatch(exact="1")}
    )


@pytest.mark.parametrize("host", ["*", "*.example", "shop.*", "a", "a.b-c.d_e", "[::1]", "127.0.0.1"])
def test_hosts_may_have_a_star_at_one_end(host: str) -> None:
    assert Match.model_validate({"host": host}).host == (host,)


@pytest.mark.parametrize("host", ["", "a:80", "*a", "a*", "*.*", "a.*.b", "http://a", "a/", "a b", ".a", "**"])
def test_other_patterns_are_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="expected a host without a port"):
        Match.model_validate({"host": host})


def test_a_value_is_text_or_says_how_it_is_compared() -> None:
    written = {"a": "1", "b": {"prefix": "x"}, "c": {"present": False}, "d": {"exact": "", "invert": True}}
    for name in ("header", "query", "cookie"):
        match = Match.model_validate({name: written})
        assert getattr(match, name) == {
            "a": TextMatch(exact="1"),
            "b": TextMatch(prefix="x"),
            "c": TextMatch(present=False),
            "d": TextMatch(exact="", invert=True),
        }
        assert Match.model_validate(match.model_dump(mode="json")) == match


def test_lists_may_be_their_only_item() -> None:
    match = Match.model_validate({"source": "10.0.0.0/8", "identity": "web", "listener": "edge"})
    assert (match.source, match.identity, match.listener) == (("10.0.0.0/8",), ("web",), ("edge",))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"path": {}}, "exactly one of exact, prefix, template and regex"),
        ({"path": {"exact": "/", "prefix": "/"}}, "exactly one of exact, prefix, template and regex"),
        ({"path": "a"}, "expected a path that starts with /"),
        ({"path": "/a?b"}, "expected a path that starts with /"),
        ({"path": {"template": "a"}}, "expected a path that starts with /"),
        ({"path": {"template": "/{a}/{a}"}}, "{a} stands twice"),
        ({"path": {"template": "/**/a"}}, "as the last segment only"),
        ({"path": {"template": "/a{b}"}}, "expected segments that are text"),
        ({"path": {"regex": "/(a"}}, "a ( that is not closed"),
        ({"key": {}}, "exactly one of exact, prefix, pattern and regex"),
        ({"key": {"pattern": "a[b"}}, "a [ that is not closed"),
        ({"command": "NOSUCH"}, "expected a command of Redis, such as GET or CONFIG|GET, or a class, such as @write"),
        ({"command": "CONFIG|NOSUCH"}, "expected a command of Redis"),
        ({"command": "GET|X"}, "expected a command of Redis"),
        ({"command": "@readonly"}, "expected one of Redis's classes of commands, @all, @admin, @bitmap"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"path": {"regex": r"/(a)\1"}}, "back-references"),
        ({"method": "get"}, "expected a method in capital letters"),
        ({"header": {"a b": "c"}}, "expected a header name"),
        ({"header": {"a": {}}}, "exactly one of exact, prefix, suffix, contains, regex and present"),
        ({"header": {"a": {"exact": "a", "present": True}}}, "exactly one of exact"),
        ({"header": {"a": {"prefix": ""}}}, "at least 1 character"),
        ({"query": {"a": {"regex": "*"}}}, "repeats nothing"),
        ({"cookie": {"a b": "c"}}, "expected the name of a cookie"),
        ({"source": "10.0.0.1/8"}, "expected an address or a network without bits beyond its size"),
        ({"source": "example"}, "expected an address or a network"),
        ({"listener": "a b"}, "expected a name"),
        ({"percent": 101}, "less than or equal to 100"),
        ({"percent": -1}, "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Match.model_validate(written)
    assert message in str(raised.value)
