"""The filters against overload: admission, adaptive and shed."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.strain import TICK
from twisted_mesh.testing import HANG, After, Chain, Env, FakeUpstream, Streamed, http_call, tcp_call

REFUSED = "twisted_mesh_filter_overload_calls_total"


class World:
    def __init__(self, name: str, *script: Any, **settings: Any) -> None:
        self.env = Env()
        self.chain = Chain([self.env.build(name, **settings)], FakeUpstream(*script), self.env)
        self.name = name

    def run(self, times: int = 1, call: Any = http_call) -> list[Any]:
        return [self.chain.call(call()) for _ in range(times)]

    def counts(self) -> tuple[float, float]:
        return (self.env.count(REFUSED, self.name, "admitted"), self.env.count(REFUSED, self.name, "refused"))


def reset() -> MeshError:
    return MeshError(Kind.RESET, "gone", origin=Origin.UPSTREAM)


# --- admission


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


# --- adaptive


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


# --- shed


def late(world: World, seconds: float, ticks: int = 5) -> None:
    """Have the loop of the sidecar be late for a while."""
    strain = world.env.strain
    for _ in range(ticks):
        strain.ask()
        strain._due -= seconds
        world.env.advance(TICK)


def prioritised(priority: int) -> Call:
    call = http_call()
    call.priority = priority
    return call


def statuses(world: World) -> list[int]:
    return [world.chain.call(prioritised(each)).status for each in (-1, 0, 1)]


@pytest.mark.parametrize(
    ("lag", "answers"),
    [
        (0.0, [200, 200, 200]),
        (0.04, [200, 200, 200]),
        (0.1, [503, 200, 200]),
        (0.2, [503, 503, 200]),
        (0.4, [503, 503, 503]),
    ],
)
def test_what_matters_less_is_refused_first(lag: float, answers: list[int]) -> None:
    world = World("shed", Reply(200))
    world.run()
    late(world, lag + 1e-6 if lag else 0.0)
    assert statuses(world) == answers
    assert world.counts() == (1 + answers.count(200), answers.count(503))


def test_it_ends_when_the_loop_is_in_time_again() -> None:
    world = World("shed", Reply(200))
    late(world, 1.0)
    refused = world.run()[0]
    assert refused.call.details == "the sidecar sheds load: 1000 ms late"
    late(world, 0.0, ticks=3)
    assert world.run()[0].status == 200


def test_much_memory_sheds_load_too() -> None:
    world = World("shed", Reply(200), memory="1MiB", lag="10s")
    assert statuses(world) == [503, 503, 503]
    world = World("shed", Reply(200), memory="1024GiB")
    assert statuses(world) == [200, 200, 200]


def test_a_share_of_the_calls_is_refused() -> None:
    world = World("shed", Reply(200))
    late(world, 0.15)
    world.run(400)
    assert 130 < world.counts()[1] < 270
    assert "lag=150ms" in repr(world.env.build("shed"))


# --- settings


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("admission", {"good": 0}, "good is from 1 to 100"),
        ("admission", {"most": 101}, "most is from 0 to 100"),
        ("admission", {"aggression": 0}, "aggression is more than 0"),
        ("admission", {"status": 200}, "from 400 to 599"),
        ("admission", {"window": "0s"}, "more than 0"),
        ("adaptive", {"least": 0}, "least is 1 or more"),
        ("adaptive", {"least": 5, "most": 4}, "least is 1 or more"),
        ("adaptive", {"buffer": -1}, "buffer is 0 or more"),
        ("adaptive", {"percentile": 100}, "percentile is between"),
        ("adaptive", {"samples": 0}, "samples is from 1"),
        ("adaptive", {"status": 600}, "from 400 to 599"),
        ("shed", {"lag": None}, "lag, memory or both"),
        ("shed", {"memory": 0}, "memory is more than 0"),
        ("shed", {"status": 99}, "from 400 to 599"),
    ],
)
def test_what_is_wrong_is_refused(name: str, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Env().build(name, **settings)


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


# --- what they would do


def explained(filter: Any, call: Any = None) -> tuple[str, str]:
    return tuple(filter.explain(call or http_call()))  # type: ignore[return-value]


def test_what_admission_would_do() -> None:
    env = Env()
    filter: Any = env.build("admission")
    assert explained(filter) == ("pass", "0 of the last 0 calls went well")
    Chain([filter], FakeUpstream(Reply(500)), env).call(http_call())
    assert explained(filter) == ("maybe", "refused with 50 %: 0 of the last 1 calls went well")


def test_what_adaptive_would_do() -> None:
    env = Env()
    filter: Any = env.build("adaptive", least=1)
    assert explained(filter) == ("pass", "0 in flight, 1 may be while measuring")
    Chain([filter], FakeUpstream(HANG), env).call(http_call())
    assert explained(filter) == ("refuse", "1 in flight, 1 may be while measuring")


def test_what_shed_would_do() -> None:
    world = World("shed", Reply(200))
    filter: Any = world.env.build("shed")
    assert explained(filter)[0] == "pass"
    late(world, 0.15)
    verdict, why = explained(filter)
    assert verdict == "maybe" and why.startswith("refused with 50 % by lag: 150 ms late, ")
    assert explained(filter, prioritised(-1))[0] == "refuse"
    assert world.counts() == (0, 0)
