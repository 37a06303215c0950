"""What a rate limit is for each of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import a_call
from tests.filters.redis_calls import several
from twisted_mesh.filters.ratelimit_key import LONGEST, PARTS, check_part, key_of, keys_of, name_of


def call_of(**fields: Any) -> Any:
    call = a_call(**fields.pop("headers", {}))
    for name, value in fields.items():
        setattr(call, name, value)
    return call


@pytest.mark.parametrize(
    ("separator", "resource", "prefix"),
    [
        (":", "user:7:cart", "user"),
        (":", "user", "user"),
        (":", ":user:7", ":user"),
        ("/", "/api/x/y", "/api"),
        ("/", "/", "/"),
        ("::", "a:b::c", "a:b"),
        ("/", "", ""),
    ],
)
def test_a_prefix_of_a_path_or_a_key(separator: str, resource: str, prefix: str) -> None:
    assert key_of([f"prefix:{separator}"])(call_of(resource=resource)) == prefix


def test_several_parts_are_one_key() -> None:
    key = key_of(["source", "command", "header:x-team"])
    assert key(call_of(client="10.0.0.1", operation="GET", headers={"x_team": "red"})) == ("10.0.0.1", "GET", b"red")
    assert key_of([])(call_of()) is None
    assert key_of(["key"])(call_of(resource="a")) == "a"


def test_every_part_is_allowed_and_others_are_not() -> None:
    for each in [*PARTS, "header:x-team", "prefix::", "prefix:/"]:
        assert check_part(each) == each
    for wrong in ("cookie", "header:", "header:a b", "prefix:", ""):
        with pytest.raises(ValueError, match="expected source"):
            check_part(wrong)


def test_the_text_of_a_key() -> None:
    assert name_of([], None) == "all"
    assert name_of(["source"], "10.0.0.1") == "source=10.0.0.1"
    assert name_of(["source", "path"], ("::1", "/a b,c=d")) == "source=::1,path=/a%20b%2Cc%3Dd"
    assert name_of(["identity"], None) == "identity="
    assert name_of(["path"], "/caf\u00e9\udce9") == "path=/caf%C3%A9%E9"


def test_what_a_header_says_is_not_shown() -> None:
    text = name_of(["header:authorization", "host"], (b"Bearer secret", "a"))
    assert "secret" not in text
    assert text.startswith("header:authorization=") and text.endswith(",host=a")
    assert text != name_of(["header:authorization", "host"], (b"Bearer other", "a"))


def test_a_long_key_is_a_digest() -> None:
    one, other = name_of(["path"], "/" + "a" * LONGEST), name_of(["path"], "/" + "a" * LONGEST + "b")
    assert len(one) == len(other) == 32
    assert one != other


def test_commands_of_one_call_have_keys_of_their_own() -> None:
    call = several("GET user:1", "TTL cart:2", "PING")
    assert keys_of(["key"])(call) == ["user:1", "cart:2", ""]
    assert keys_of(["prefix::", "command", "source"])(call) == [
        ("user", "GET", "10.0.0.1"),
        ("cart", "TTL", "10.0.0.1"),
        ("", "PING", "10.0.0.1"),
    ]
    assert keys_of(["source"])(call) == ["10.0.0.1"] * 3
    assert keys_of([])(call) == [None] * 3
