"""Calls that nobody has made."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from tests.control.explaining import configure, live_world
from twisted_mesh.call import Call
from twisted_mesh.control.imaginary import Question, imagine, listener_for
from twisted_mesh.control.world import World

OTHERS = {
    "cache": {"protocol": "redis", "bind": "127.0.0.1:6379", "routes": [{"to": "web"}]},
    "raw": {"protocol": "tcp", "bind": "127.0.0.1:5432", "routes": [{"to": "web"}]},
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with live_world(monkeypatch) as made:
        configure(made, listeners=OTHERS)
        yield made


def imagined(world: World, method: str, target: str = "", *headers: str, **more: Any) -> Any:
    asked = Question(method, target, headers=headers, **more)
    return imagine(listener_for(world, asked), asked, 5.0)


# --- which listener it would come to


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Question("GET", "/cart"), "edge"),
        (Question("GET", "http://shop.example/cart"), "edge"),
        (Question("GET", "HTTPS://shop.example:8080/cart"), "edge"),
        (Question("GET"), "edge"),
        (Question("GET", "cart:7"), "cache"),
        (Question("GET", "redis://127.0.0.1:6379/cart:7"), "cache"),
        (Question("CONNECT", "tcp://127.0.0.1:5432"), "raw"),
        (Question("CONNECT", listener="raw"), "raw"),
    ],
)
def test_the_listener_is_found_by_what_is_asked(world: World, asked: Question, name: str) -> None:
    assert listener_for(world, asked).name == name


def test_of_several_the_port_decides(world: World) -> None:
    side = {"bind": "127.0.0.1:8081", "routes": [{"to": "web"}]}
    configure(world, listeners={**OTHERS, "side": side})
    assert listener_for(world, Question("GET", "http://shop.example:8081/")).name == "side"
    with pytest.raises(ValueError, match=r"say which listener is meant: edge \(http\), side \(http\)"):
        listener_for(world, Question("GET", "/cart"))


def test_without_a_listener_for_it_those_are_named_that_there_are(world: World) -> None:
    with pytest.raises(ValueError, match=r'no listener "none"; there are edge \(http\), cache \(redis\), raw \(tcp\)'):
        listener_for(world, Question("GET", "/", listener="none"))
    configure(world)
    with pytest.raises(ValueError, match=r"there is no listener for redis; there are edge \(http\)"):
        listener_for(world, Question("GET", "cart:7"))


@pytest.mark.parametrize("url", ["http://[::1", "http://shop:80:80/", "http://shop:abc/", "http://shop:99999/"])
def test_a_url_without_a_host_or_port_is_said_to_be_none(world: World, url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL such as http:") as caught:
        listener_for(world, Question("GET", url))
    assert url in str(caught.value)


# --- what the listener would make of it


def test_a_request_is_read_as_the_listener_reads_it(world: World) -> None:
    call = imagined(world, "POST", "http://u@Shop.Example:8080/a/../cart?x=1", "x-team: blue", source="10.0.0.7")
    assert isinstance(call, Call)
    assert (call.protocol, call.operation, call.host, call.authority) == (
        "http",
        "POST",
        "shop.example",
        "Shop.Example:8080",
    )
    assert (call.resource, call.query, call.client, call.peer) == ("/cart", "x=1", "10.0.0.7", "10.0.0.7:0")
    assert call.headers.get("x-team") == "blue"
    assert (call.started, call.received, call.identity, call.deadline) == (5.0, 5.0, None, None)


def test_the_host_that_is_given_wins_and_there_is_always_one(world: World) -> None:
    assert imagined(world, "GET", "/").host == "localhost"
    assert imagined(world, "GET", "http://shop.example/", "Host: other.example").host == "other.example"


def test_fields_of_proxies_and_deadlines_are_heeded(world: World) -> None:
    edge = {"bind": "127.0.0.1:8080", "routes": [{"to": "web"}], "http": {"trusted_hops": 1}}
    configure(world, listeners={"edge": edge})
    call = imagined(world, "GET", "/", "x-forwarded-for: 192.0.2.9", "grpc-timeout: 250m", source="10.0.0.7")
    assert call.client == "192.0.2.9"
    assert call.headers.get("x-forwarded-for") == "192.0.2.9, 10.0.0.7"
    assert call.deadline == world.env.now() + 0.25


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [("G T", "/", "x: a"), ("GET", "/", "bad name: x"), ("GET", "/", "x: a\x01b"), ("GET", "/", "x: \u20ac")],
)
def test_what_the_listener_would_refuse_is_no_call(world: World, method: str, target: str, header: str) -> None:
    with pytest.raises(ValueError, match="the listener would refuse the request"):
        imagined(world, method, target, header)


@pytest.mark.parametrize(
    ("method", "target", "words", "key", "write"),
    [
        ("GET", "cart:7", (), b"cart:7", False),
        ("set", "cart:7", ("1",), b"cart:7", True),
        ("GET", "redis://127.0.0.1:6379/cart:7", (), b"cart:7", False),
        ("EVAL", "return 1", ("1", "cart:7"), b"cart:7", True),
        ("DBSIZE", "", (), b"", False),
    ],
)
def test_a_command(world: World, method: str, target: str, words: Any, key: bytes, write: bool) -> None:
    call = imagined(world, method, target, words=words, listener="cache", db=3, source="10.0.0.7")
    assert (call.protocol, call.operation, call.key, call.write) == ("redis", method.upper(), key, write)
    assert (call.db, call.client, call.port) == (3, "10.0.0.7", 6379)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("NOSUCH", 'there is no command "NOSUCH"'),
        ("SHUTDOWN", "the listener would refuse SHUTDOWN: it "),
        ("PING", "the listener answers PING itself"),
    ],
)
def test_a_command_that_goes_to_no_server_is_no_call(world: World, method: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        imagined(world, method, listener="cache")


def test_what_users_may_not_send_is_no_call(world: World) -> None:
    user = {"name": "reader", "passwords": [f"sha256:{'0' * 64}"], "commands": ["@read"], "read": ["cart:"]}
    listener = {**OTHERS["cache"], "redis": {"users": [user]}}
    configure(world, listeners={"cache": listener})
    assert imagined(world, "GET", "cart:7", listener="cache", identity="reader").identity == "reader"
    for words, who, why in (
        (("GET", "cart:7"), "", "NOAUTH Authentication required.; say who calls with --identity"),
        (("GET", "user:7"), "reader", "NOPERM No permissions to access a key"),
        (("DEL", "cart:7"), "reader", "NOPERM User reader has no permissions to run the 'del' command"),
    ):
        with pytest.raises(ValueError, match=f"the listener would refuse {words[0]}: {why}"):
            imagined(world, *words, listener="cache", identity=who)
    with pytest.raises(ValueError, match='the listener has no user "writer"'):
        imagined(world, "GET", "cart:7", listener="cache", identity="writer")


def test_too_many_words_are_no_call(world: World) -> None:
    """Too few may be, as nobody wants to make up a value."""
    assert imagined(world, "SET", "cart:7", listener="cache").write
    with pytest.raises(ValueError, match="the listener would refuse GET: wrong number of arguments"):
        imagined(world, "GET", "cart:7", words=("x",), listener="cache")


@pytest.mark.parametrize(
    ("header", "length"), [("content-length: 11", 11), ("transfer-encoding: chunked", None), ("content-length: 0", 0)]
)
def test_a_body_has_the_length_that_is_said(world: World, header: str, length: Any) -> None:
    body = imagined(world, "POST", "/", header).body
    assert (len(body) if isinstance(body, bytes) else body.length) == length


def test_a_connection(world: World) -> None:
    call = imagined(world, "CONNECT", "tcp://127.0.0.1:5432", source="10.0.0.7", identity="spiffe://x/y")
    assert (call.protocol, call.operation, call.client, call.port) == ("tcp", "CONNECT", "10.0.0.7", 5432)
    assert call.identity == "spiffe://x/y"
