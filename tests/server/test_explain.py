"""What the admin says of an imaginary call, and of endpoints: what it takes, and what it refuses in words."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from tests.control.explaining import ONE, TWO, configure, live_world
from twisted_mesh.control.world import World
from twisted_mesh.server import explain


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with live_world(monkeypatch) as made:
        cache = {"protocol": "redis", "bind": "127.0.0.1:6379", "routes": [{"to": "web"}]}
        configure(made, listeners={"cache": cache}, clusters={"other": {"endpoints": [TWO]}})
        yield made


def test_headers_and_words_come_one_on_each_line(world: World) -> None:
    asked = {
        "method": "GET",
        "target": "/cart?x=1",
        "headers": "host: shop.example\nx-team: blue",
        "source": "10.0.0.7",
    }
    about = explain.call(world, asked)["call"]
    assert {"host: shop.example", "x-team: blue"} <= set(about["headers"])
    assert (about["host"], about["resource"], about["query"], about["client"]) == (
        "shop.example",
        "/cart",
        "x=1",
        "10.0.0.7",
    )
    command = explain.call(world, {"method": "MSET", "target": "a", "words": "1\nb\n2", "db": "3", "listener": "cache"})
    assert (command["call"]["operation"], command["listener"]) == ("MSET", "cache")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "say ?method=, a method of HTTP, a command of Redis, or CONNECT"),
        ({"methods": "GET"}, 'there is no parameter "methods"; there are db, format, headers, '),
        ({"method": "GET", "db": "-1"}, 'expected the number of a database, got db="-1"'),
        ({"method": "GET", "db": "\u0661"}, "expected the number of a database"),
        ({"method": "GET", "source": "nowhere"}, 'expected the address of a client, got source="nowhere"'),
        ({"method": "GET", "listener": "none"}, 'there is no listener "none"'),
        ({"method": "G T", "target": "/"}, "the listener would refuse the request"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_words(world: World, asked: Any, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        explain.call(world, asked)
    assert why in str(caught.value)


def endpoints(world: World, **asked: str) -> list[tuple[str, str]]:
    return [(each["cluster"], each["address"]) for each in explain.endpoint(world, asked)["endpoints"]]


def test_endpoints_by_cluster_and_address(world: World) -> None:
    assert endpoints(world) == [("web", ONE), ("web", TWO), ("other", TWO)]
    assert endpoints(world, cluster="web") == [("web", ONE), ("web", TWO)]
    assert endpoints(world, address=TWO) == [("web", TWO), ("other", TWO)]
    assert endpoints(world, cluster="other", address=TWO, format="json") == [("other", TWO)]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cluster": "nowhere"}, 'there is no cluster "nowhere"; there are web, other'),
        ({"address": "127.0.0.1:9"}, "there is no endpoint 127.0.0.1:9"),
        ({"address": ONE, "cluster": "other"}, f"there is no endpoint {ONE} in cluster other"),
        ({"name": "web"}, 'there is no parameter "name"; there are address, cluster, format'),
    ],
)
def test_endpoints_that_there_are_not(world: World, asked: Any, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        explain.endpoint(world, asked)
    assert str(caught.value) == why
