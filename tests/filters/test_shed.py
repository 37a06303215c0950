"""Load that is shed as the sidecar itself is late or short of memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.overload import World, explained
from twisted_mesh.call import Call, Reply
from twisted_mesh.strain import TICK
from twisted_mesh.testing import Env, http_call


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


def test_what_shed_would_do() -> None:
    world = World("shed", Reply(200))
    filter: Any = world.env.build("shed")
    assert explained(filter)[0] == "pass"
    late(world, 0.15)
    verdict, why = explained(filter)
    assert verdict == "maybe" and why.startswith("refused with 50 % by lag: 150 ms late, ")
    assert explained(filter, prioritised(-1))[0] == "refuse"
    assert world.counts() == (0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lag": None}, "lag, memory or both"),
        ({"memory": 0}, "memory is more than 0"),
        ({"status": 99}, "from 400 to 599"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Env().build("shed", **settings)
