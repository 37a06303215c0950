"""The limit of calls in flight that follows latency."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.overload import World, explained, reset
from tests.filters.redis_calls import several
from twisted_mesh.call import Reply
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.testing import HANG, After, Chain, Env, FakeUpstream, Streamed, http_call


def test_calls_above_the_limit_are_refused() -> None:
    world = World("adaptive", HANG)
    outcomes = world.run(5)
    assert [each.waiting for each in outcomes] == [True, True, True, False, False]
    assert (outcomes[3].status, outcomes[3].call.flags) == (503, ("OM",))
    assert outcomes[3].call.details == "3 calls in flight, 3 may be now"
    assert world.counts() == (3, 2)
    outcomes[0].hang_up()
    assert world.run()[0].waiting


def test_the_limit_follows_latency() -> None:
    world = World("adaptive", After(0.010, Reply(200)), samples=10)

    def limit() -> float:
        return world.env.count("twisted_mesh_filter_adaptive_limit", "adaptive")

    def seconds(count: float) -> None:
        for _ in range(int(count / 0.010)):
            world.run(80)
            world.chain.advance(0.010)

    seconds(1.0)
    fast = limit()
    assert fast > 25
    assert world.env.count("twisted_mesh_filter_adaptive_ideal_seconds", "adaptive") == pytest.approx(0.010)
    world.chain.upstream._script = [After(0.100, Reply(200))]
    seconds(0.6)
    assert limit() < fast / 2


def test_measuring_ends_also_where_calls_fail() -> None:
    world = World("adaptive", Reply(500), samples=5)
    world.run(5)
    assert world.env.count("twisted_mesh_filter_adaptive_limit", "adaptive") == 1000
    world = World("adaptive", reset(), samples=5)
    world.run(5)
    assert world.env.count("twisted_mesh_filter_adaptive_limit", "adaptive") == 1000


def test_a_call_that_took_too_long_is_a_slow_one() -> None:
    world = World("adaptive", HANG, samples=1)
    world.run()
    world.chain.advance(3600.0)
    assert world.env.count("twisted_mesh_filter_adaptive_ideal_seconds", "adaptive") >= 15.0


def test_what_goes_on_behind_the_head_is_not_in_flight() -> None:
    """Streams and connections may last, and others come all the same."""
    world = World("adaptive", Streamed([b"x", b"y"], every=60.0))
    outcomes = world.run(10)
    assert {each.status for each in outcomes} == {200}
    assert world.counts() == (10, 0)


def test_redis_commands_that_wait_pass_it_by() -> None:
    world, waits = World("adaptive", HANG), []
    for _ in range(5):
        call = http_call()
        call.protocol, call.session = "redis", object()  # type: ignore[attr-defined]
        waits.append(world.chain.call(call).waiting)
    assert waits == [True] * 5
    assert world.counts() == (0, 0)


def test_what_adaptive_would_do() -> None:
    env = Env()
    filter: Any = env.build("adaptive", least=1)
    assert explained(filter) == ("pass", "0 in flight, 1 may be while measuring")
    Chain([filter], FakeUpstream(HANG), env).call(http_call())
    assert explained(filter) == ("refuse", "1 in flight, 1 may be while measuring")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least": 0}, "least is 1 or more"),
        ({"least": 5, "most": 4}, "least is 1 or more"),
        ({"buffer": -1}, "buffer is 0 or more"),
        ({"percentile": 100}, "percentile is between"),
        ({"samples": 0}, "samples is from 1"),
        ({"status": 600}, "from 400 to 599"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Env().build("adaptive", **settings)


def test_what_a_server_refuses_at_once_is_not_fast() -> None:
    script = [After(0.050, RedisReply(b"+OK\r\n")), RedisReply(b"-LOADING Redis is loading\r\n", errors=1)]
    world = World("adaptive", *script, samples=2, least=2)
    for _ in range(2):
        world.run(1, lambda: several("SET a 1"))
        world.chain.advance(0.050)
    assert world.env.count("twisted_mesh_filter_adaptive_ideal_seconds", "adaptive") > 0.049
