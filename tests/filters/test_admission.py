"""Calls that are not even sent, as those before them failed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.overload import World, explained, reset
from tests.filters.redis_calls import several
from twisted_mesh.call import Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.testing import HANG, Chain, Env, FakeUpstream, http_call, tcp_call


@pytest.mark.parametrize("bad", [Reply(500), Reply(503), reset(), MeshError(Kind.NO_ENDPOINT)])
def test_what_fails_is_not_even_sent(bad: Any) -> None:
    world = World("admission", bad)
    outcomes = world.run(1000)
    refused = [each for each in outcomes if each.call.flags == ("OM",)]
    # Four fifths at the most.
    assert 650 < len(refused) < 850
    assert world.counts() == (1000 - len(refused), len(refused))
    assert {each.status for each in refused} == {503}
    assert "calls went well" in refused[-1].call.details
    assert len(world.chain.upstream.received) == 1000 - len(refused)
    assert "AdmissionControl" in repr(world.env.build("admission"))


@pytest.mark.parametrize("good", [Reply(200), Reply(404), Reply(429), MeshError(Kind.OVERFLOW), MeshError(Kind.DENIED)])
def test_what_says_nothing_of_the_upstream_is_sent_on(good: Any) -> None:
    world = World("admission", good)
    world.run(300)
    assert world.counts() == (300, 0)


def test_it_is_sent_again_when_it_goes_well_again() -> None:
    world = World("admission", Reply(500))
    world.run(300)
    world.chain.upstream._script = [Reply(200)]
    for _ in range(60):
        world.run(20)
        world.chain.advance(1.0)
    admitted, refused = world.counts()
    world.run(100)
    assert world.counts() == (admitted + 100, refused)


def test_clients_that_hang_up_say_nothing() -> None:
    world = World("admission", HANG)
    for _ in range(200):
        self_made = world.chain.call(http_call())
        self_made.hang_up()
    assert world.counts() == (200, 0)


def test_a_call_that_took_too_long_has_failed() -> None:
    world = World("admission", HANG)
    outcomes = world.run(100)
    world.chain.advance(16.0)
    assert not any(each.waiting for each in outcomes)
    world.run(200)
    assert world.counts()[1] > 100


def test_connections_of_tcp_are_admitted_the_same() -> None:
    world = World("admission", MeshError(Kind.CONNECT_FAILED))
    world.run(500, tcp_call)
    assert world.counts()[1] > 200


def test_the_status_of_a_refusal() -> None:
    world = World("admission", reset(), status=429, most=100)
    assert 429 in {each.status for each in world.run(100)}


def test_what_admission_would_do() -> None:
    env = Env()
    filter: Any = env.build("admission")
    assert explained(filter) == ("pass", "0 of the last 0 calls went well")
    Chain([filter], FakeUpstream(Reply(500)), env).call(http_call())
    assert explained(filter) == ("maybe", "refused with 50 %: 0 of the last 1 calls went well")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"good": 0}, "good is from 1 to 100"),
        ({"most": 101}, "most is more than 0 and at most 100"),
        ({"most": 0}, "nothing would ever be refused"),
        ({"aggression": 0}, "aggression is more than 0"),
        ({"status": 200}, "from 400 to 599"),
        ({"window": "0s"}, "more than 0"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Env().build("admission", **settings)


def test_a_server_that_can_do_nothing_is_not_even_sent_to() -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    world = World("admission", RedisReply(loading, errors=1))
    world.run(1000, lambda: several("GET a"))
    assert 650 < world.counts()[1] < 850


@pytest.mark.parametrize("said", [b"-WRONGTYPE Operation\r\n", b"-OOM command not allowed\r\n"])
def test_an_error_that_is_its_commands_own_refuses_nobody_else(said: bytes) -> None:
    world = World("admission", RedisReply(said, errors=1))
    world.run(300, lambda: several("SET a 1"))
    assert world.counts() == (300, 0)
