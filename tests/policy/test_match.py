"""Which calls a match is for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.call import Call
from twisted_mesh.headers import Headers
from twisted_mesh.policy.match import Conditions, compile_match
from twisted_mesh.policy.values import compile_check

PRESENT = compile_check()
ABSENT = compile_check(present=False)


def value(text: str) -> Any:
    return compile_check(exact=text)


def asked(host: str = "shop.example", path: str = "/", method: str = "GET", **headers: str) -> Call:
    call = Call(
        "http", "edge", method, Headers.of([(name.replace("_", "-"), value) for name, value in headers.items()])
    )
    call.host = host
    call.resource = path
    return call


def matches(call: Call, *hosts: str, **conditions: Any) -> bool:
    test = compile_match(Conditions(hosts, **conditions))
    return test is None or test(call)


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("shop.example", "shop.example", True),
        ("Shop.Example:8080", "shop.example", True),
        ("shop.example", "www.shop.example", False),
        ("*.shop.example", "www.shop.example", True),
        ("*.shop.example", "a.b.shop.example", True),
        ("*.shop.example", "shop.example", False),
        ("*.shop.example", ".shop.example", False),
        ("*.shop.example", "notshop.example", False),
        ("shop.*", "shop.example", True),
        ("shop.*", "shop.example.org", True),
        ("shop.*", "shop.", False),
        ("shop.*", "shop", False),
        ("shop.*", "shopping.example", False),
        ("*", "anything", True),
        ("*", "", True),
        ("[::1]:8080", "::1", True),
        ("[::1]", "[::1]", True),
        ("::1", "[::1]", True),
    ],
)
def test_hosts(pattern: str, host: str, expected: bool) -> None:
    assert matches(asked(host), pattern) is expected
    assert matches(asked(host), "other.invalid", pattern) is expected


def test_any_of_several_hosts() -> None:
    hosts = ("a.example", "*.b.example", "c.*")
    assert [matches(asked(host), *hosts) for host in ("a.example", "x.b.example", "c.x", "b.example")] == [
        True,
        True,
        True,
        False,
    ]


def test_an_exact_path_is_that_path_only() -> None:
    assert matches(asked(path="/api"), exact="/api")
    assert not matches(asked(path="/api/"), exact="/api")
    assert not matches(asked(path="/API"), exact="/api")


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/api", "/api", True),
        ("/api", "/api/", True),
        ("/api", "/api/x", True),
        ("/api", "/apix", False),
        ("/api", "/x/api", False),
        ("/api/", "/api", False),
        ("/api/", "/api/x", True),
        ("/", "/", True),
        ("/", "/anything", True),
        ("/", "*", False),
    ],
)
def test_a_prefix_is_whole_segments(prefix: str, path: str, expected: bool) -> None:
    assert matches(asked(path=path), prefix=prefix) is expected


@given(st.text("ab/", max_size=8), st.text("ab/", min_size=1, max_size=4))
def test_a_prefix_agrees_with_its_segments(path: str, prefix: str) -> None:
    path, prefix = "/" + path, "/" + prefix.rstrip("/")
    wanted = prefix.split("/")
    expected = path.split("/")[: len(wanted)] == wanted if prefix != "/" else True
    assert matches(asked(path=path), prefix=prefix) is expected


def test_methods() -> None:
    assert matches(asked(), methods=["get"])
    assert not matches(asked(method="POST"), methods=["GET"])
    assert matches(asked(method="HEAD"), methods=["GET", "HEAD"])
    assert not matches(asked(method="get"), methods=["GET", "HEAD"])


def test_headers() -> None:
    call = asked(x_team="red")
    call.headers.add("X-Team", "blue")
    assert matches(call, headers={"x-team": value("red")})
    assert matches(call, headers={"X-TEAM": value("blue")})
    assert not matches(call, headers={"x-team": value("re")})
    assert matches(call, headers={"x-team": PRESENT, "x-none": ABSENT})
    assert not matches(call, headers={"x-none": PRESENT})
    assert not matches(call, headers={"x-team": ABSENT})


def test_templates_and_expressions_are_for_the_whole_path() -> None:
    assert matches(asked(path="/users/7/orders"), template="/users/{id}/orders")
    assert not matches(asked(path="/users/7/orders/"), template="/users/{id}/orders")
    assert matches(asked(path="/v2/items"), regex="/v[0-9]/items")
    assert not matches(asked(path="/v2/items/"), regex="/v[0-9]/items")


def test_query_parameters() -> None:
    call = asked()
    call.query = "a=1&b=&a=x%20y+z&c"
    assert matches(call, query={"a": value("1"), "b": value(""), "c": PRESENT})
    assert matches(call, query={"a": value("x y z"), "d": ABSENT})
    assert not matches(call, query={"a": value("2")})
    assert not matches(asked(), query={"a": PRESENT})


def test_cookies() -> None:
    call = asked(cookie='a=1; b="two"; aa=3')
    call.headers.add("Cookie", "c=4")
    assert matches(call, cookies={"a": value("1"), "b": value("two"), "c": value("4"), "A": ABSENT})
    assert not matches(call, cookies={"a": value("3")})


def test_sources_and_identities() -> None:
    call = asked()
    call.client = "10.1.2.3"
    assert matches(call, sources=["192.168.0.0/16", "10.0.0.0/8"])
    assert not matches(call, sources=["192.168.0.0/16"])
    assert not matches(call, identities=["web"])
    call.identity = "web"
    assert matches(call, identities=["api", "web"])


def test_keys_and_ports() -> None:
    call = asked(path="user:1:cart", method="HGET")
    call.port = 6380
    assert matches(call, key_exact="user:1:cart")
    assert not matches(call, key_exact="user:1")
    assert matches(call, key_prefix="user:")
    # No segments: a key has none.
    assert matches(call, key_prefix="us")
    assert not matches(call, key_prefix="user:2")
    assert matches(call, key_glob="user:*:cart")
    assert not matches(call, key_glob="user:*:")
    assert matches(call, key_regex=r"user:\d+:cart", methods=["HGET", "HSET"])
    assert matches(call, ports=[6379, 6380])
    assert not matches(call, ports=[6379])


def test_a_percentage_is_of_those_for_which_the_rest_holds() -> None:
    rolled: list[float] = []

    def dice() -> float:
        rolled.append(0.1)
        return rolled[-1]

    test = compile_match(Conditions(exact="/a", percent=20.0), dice)
    assert test is not None
    assert test(asked(path="/a"))
    assert not test(asked(path="/b"))
    assert len(rolled) == 1
    nobody = compile_match(Conditions(percent=5.0), dice)
    assert nobody is not None
    assert not nobody(asked())
    with pytest.raises(ValueError, match="needs dice"):
        compile_match(Conditions(percent=5.0))


def test_all_conditions_must_hold() -> None:
    conditions: dict[str, Any] = {"prefix": "/api", "methods": ["GET"], "headers": {"x-a": value("1")}}
    assert matches(asked(path="/api/x", x_a="1"), "shop.example", **conditions)
    assert not matches(asked("other", path="/api/x", x_a="1"), "shop.example", **conditions)
    assert not matches(asked(path="/x", x_a="1"), "shop.example", **conditions)
    assert not matches(asked(path="/api/x", method="PUT", x_a="1"), "shop.example", **conditions)
    assert not matches(asked(path="/api/x"), "shop.example", **conditions)


def test_no_conditions_need_no_test() -> None:
    assert compile_match(Conditions()) is None
    assert compile_match(Conditions(["a.example", "*"])) is None
