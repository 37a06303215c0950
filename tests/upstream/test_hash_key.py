"""What calls are told apart by."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import a_call
from twisted_mesh.call import Call
from twisted_mesh.headers import Headers
from twisted_mesh.model.hashing import Hashing
from twisted_mesh.policy.ring import key_hash
from twisted_mesh.upstream.hash_key import hashed


def call(**fields: Any) -> Call:
    made = a_call()
    made.headers = Headers.of(fields.pop("headers", []))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def key(written: Any, asked: Call) -> Optional[int]:
    return hashed(Hashing.model_validate({"key": written}).key)(asked)


@pytest.mark.parametrize(
    ("written", "asked", "expected"),
    [
        ("source", call(client="10.0.0.1"), "10.0.0.1"),
        ("source", call(), None),
        ("host", call(host="shop.example"), "shop.example"),
        ("host", call(), None),
        ("path", call(resource="/a"), "/a"),
        ("key", call(resource="user:1"), "user:1"),
        ("key", call(), None),
        ("identity", call(identity="web"), "web"),
        ("identity", call(), None),
        ({"header": "X-User"}, call(headers=[("x-user", "ann"), ("x-user", "bob")]), "ann"),
        ({"header": "X-User"}, call(), None),
        ({"cookie": "sid"}, call(headers=[("cookie", "a=1; sid=xyz; b=2")]), "xyz"),
        ({"cookie": "sid"}, call(headers=[("cookie", "a=1")]), None),
        ({"cookie": "sid"}, call(), None),
        ({"query": "user"}, call(query="a=1&user=ann%20b&user=c"), "ann b"),
        ({"query": "user"}, call(query="a=1"), None),
        ({"query": "user"}, call(), None),
        ([{"cookie": "sid"}, "source"], call(client="10.0.0.1"), "10.0.0.1"),
        ([{"cookie": "sid"}, "source"], call(client="10.0.0.1", headers=[("cookie", "sid=x")]), "x"),
        ([{"cookie": "sid"}, "identity"], call(client="10.0.0.1"), None),
    ],
)
def test_the_first_key_that_a_call_has_is_hashed(written: Any, asked: Call, expected: Optional[str]) -> None:
    assert key(written, asked) == (None if expected is None else key_hash(expected))


def test_bytes_that_are_no_text_are_keys_too() -> None:
    assert key({"query": "user"}, call(query="user=%ff")) == key_hash(b"\xff")
    assert key({"header": "x-user"}, call(headers=[(b"x-user", b"\xff")])) == key_hash(b"\xff")
