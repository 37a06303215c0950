"""Local rate limits."""

from __future__ import annotations

from typing import Any, Union

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.filters.drive import FakeEnv, Run, Script, a_call
from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import ConfigError, Kind, MeshError, Origin
from twisted_mesh.filters.ratelimit import RatelimitSettings, plugin
from twisted_mesh.testing import Env

READ: TypeAdapter[RatelimitSettings] = TypeAdapter(RatelimitSettings)


class World:
    def __init__(self, **settings: Any) -> None:
        self.env = FakeEnv()
        self.env.clock.advance(1000.0)
        self.filter = plugin.build(READ.validate_python({"rate": "2/s", **settings}), self.env)  # type: ignore[arg-type]

    def ask(self, call: Union[Call, None] = None) -> Any:
        """Return the reply, or the error."""
        script = Script(lambda call: Reply(200))
        return Run(compose([self.filter], script), call or a_call()).result

    def statuses(self, count: int, call: Any = None) -> list[Any]:
        results = [self.ask(call and call()) for _ in range(count)]
        return [each.status for each in results]

    def count(self, result: str) -> float:
        return self.env.count("filter_ratelimit_calls_total", "test", result)


def call_of(**fields: Any) -> Call:
    call = a_call(**{"x_team": fields.pop("team")} if "team" in fields else {})
    for name, value in fields.items():
        setattr(call, name, value)
    return call


def test_what_is_over_the_rate_is_refused() -> None:
    world = World()
    assert world.statuses(4) == [200, 200, 429, 429]
    world.env.clock.advance(0.5)
    assert world.statuses(2) == [200, 429]
    assert (world.count("admitted") + world.count("near"), world.count("refused")) == (3, 3)


def test_a_refusal_says_who_caused_it_and_when_to_come_back() -> None:
    world = World(rate="1/10s")
    world.ask()
    world.env.clock.advance(0.5)
    error = world.ask()
    assert isinstance(error, MeshError)
    assert (error.kind, error.origin, error.retryable, error.flag) == (Kind.RATE_LIMITED, Origin.CLIENT, False, "RL")
    assert error.headers == (("Retry-After", "10"),)


def test_a_burst_may_be_larger_or_smaller_than_the_rate() -> None:
    assert World(burst=5).statuses(6) == [200] * 5 + [429]
    assert World(rate="10/s", burst=1).statuses(2) == [200, 429]


def test_calls_may_cost_more() -> None:
    world = World(rate="10/s", cost=4)
    assert world.statuses(3) == [200, 200, 429]
    pipelined = call_of(count=11)
    error = world.ask(pipelined)
    assert error.kind is Kind.RATE_LIMITED and error.headers == ()


def test_the_status_may_be_another() -> None:
    assert World(rate="1/s", status=503).statuses(2) == [200, 503]


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("source", {"client": "10.0.0.1"}, {"client": "10.0.0.2"}),
        ("identity", {"identity": "web"}, {"identity": None}),
        ("host", {"host": "a"}, {"host": "b"}),
        ("path", {"resource": "/a"}, {"resource": "/b"}),
        ("method", {"operation": "GET"}, {"operation": "POST"}),
        ("listener", {"listener": "a"}, {"listener": "b"}),
        ("header:X-Team", {"team": "red"}, {"team": "blue"}),
        ("header:X-Team", {"team": "red"}, {}),
    ],
)
def test_each_key_has_a_limit_of_its_own(key: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    world = World(rate="1/s", key=[key])
    assert world.statuses(2, lambda: call_of(**one)) == [200, 429]
    assert world.statuses(2, lambda: call_of(**other)) == [200, 429]
    together = World(rate="1/s", key=[key, "listener"])
    assert together.statuses(2, lambda: call_of(**one)) == [200, 429]
    assert together.ask(call_of(**other)).status == 200


def test_a_shared_limit_needs_redis() -> None:
    env = Env()
    with pytest.raises(ConfigError, match="needs the mesh's Redis: say where it is"):
        env.build("ratelimit", rate="1/s", shared="api")


def test_a_route_is_a_key() -> None:
    class Named:
        name = "shop"

    world = World(rate="1/s", key=["route"])
    assert world.statuses(1) == [200]
    assert world.statuses(2, lambda: call_of(route=Named())) == [200, 429]


def test_replies_may_say_how_much_is_left() -> None:
    world = World(headers=True)
    first, second, third = (world.ask() for _ in range(3))
    told = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    assert [first.headers.get(each) for each in told] == ["2", "1", "1"]
    assert [second.headers.get(each) for each in told] == ["2", "0", "1"]
    assert dict(third.headers) == {
        "Retry-After": "1",
        "RateLimit-Limit": "2",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1",
    }


def test_replies_say_nothing_unless_asked() -> None:
    assert World().ask().headers.get("ratelimit-limit") is None


def test_a_limit_that_is_near_is_counted() -> None:
    world = World(rate="10/s")
    world.statuses(10)
    assert (world.count("admitted"), world.count("near")) == (7, 3)


def test_keys_that_find_no_room_are_counted() -> None:
    world = World(rate="1/h", key=["source"], max_keys=2)
    for each in range(5):
        world.ask(call_of(client=f"10.0.0.{each}"))
    assert world.env.count("filter_ratelimit_dropped_total", "test") == 3
    assert repr(world.filter) == "<RateLimit 2 keys>"


def redis_world(**settings: Any) -> tuple[World, Echo]:
    return World(**settings), Echo()


def test_of_several_commands_as_many_as_there_is_room_for_are_admitted() -> None:
    world, upstream = redis_world(rate="2/s")
    reply = Run(compose([world.filter], upstream), several("GET a", "GET b", "GET c")).result
    assert [each[:10] for each in lines(reply)] == ["+GET a", "+GET b", "-MESHLIMIT"]
    assert upstream.seen == [["GET a", "GET b"]]
    assert (world.count("admitted") + world.count("near"), world.count("refused")) == (2, 1)
    error = Run(compose([world.filter], upstream), several("GET a", "GET b")).result
    assert isinstance(error, MeshError) and error.kind is Kind.RATE_LIMITED
    # One command that costs more than there ever is would be another matter; a long pipeline is none.
    world.env.clock.advance(1.0)
    reply = Run(compose([world.filter], upstream), several(*["GET a"] * 60)).result
    assert [each[0] for each in lines(reply)] == ["+"] * 2 + ["-"] * 58


@pytest.mark.parametrize(
    ("key", "admitted"),
    [
        (["key"], "yes yes no yes no"),
        (["prefix::"], "yes no no yes no"),
        (["command"], "yes no yes no no"),
        (["command", "key"], "yes yes yes yes no"),
        (["source"], "yes no no no no"),
        ([], "yes no no no no"),
    ],
)
def test_each_command_counts_for_its_own_key(key: list[str], admitted: str) -> None:
    world, upstream = redis_world(rate="1/s", key=key, headers=True)
    call = several("GET user:1", "GET user:2", "TTL user:1", "GET cart:1", "GET user:2")
    reply = Run(compose([world.filter], upstream), call).result
    assert ["yes" if each[0] == "+" else "no" for each in lines(reply)] == admitted.split()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "rate"),
        ({"rate": "100"}, "expected a rate such as 100/s"),
        ({"rate": "0/s"}, "would admit nothing"),
        (
            {"rate": "1/s", "key": ["cookie"]},
            "expected source, identity, host, path, key, method, command, route, listener, header:NAME or prefix:",
        ),
        ({"rate": "1/s", "key": ["prefix:"]}, "prefix:SEPARATOR"),
        ({"rate": "1/s", "shared": "a b"}, "a name"),
        ({"rate": "1/s", "shared": "a", "budget": "0s"}, "more than 0"),
        ({"rate": "1/s", "key": ["header:"]}, "header:NAME"),
        ({"rate": "1/s", "cost": 2}, "no call would ever be admitted"),
        ({"rate": "1/s", "burst": -1}, "burst is 0 or more"),
        ({"rate": "1/s", "budget": "5ms"}, "a limit that is not shared never asks"),
        ({"rate": "1/s", "status": 200}, "from 400 to 599"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(settings)
