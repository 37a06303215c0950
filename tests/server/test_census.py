"""How much of everything the process has."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from twisted.internet.task import Clock

from tests.support import until
from twisted_mesh.call import Call
from twisted_mesh.calls import CallTable
from twisted_mesh.chain import Aside
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.server.census import Census, descriptors, whose
from twisted_mesh.strain import Strain
from twisted_mesh.sweep import Sweep


def world(**more: Any) -> Any:
    return SimpleNamespace(**{"everyone": [], "clusters": {}, "connections": 0, **more})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def values(family: Any) -> dict[str, float]:
    return {name: cell.value for (name,), cell in family.series()}


def test_timers_are_counted_by_the_module_that_they_call(loop: asyncio.AbstractEventLoop) -> None:
    clock, families = Clock(), Families(Registry())
    census = Census(world(), families, clock, loop)
    sweep = Sweep(clock)
    table = CallTable(clock.seconds, sweep)
    sweep.wake()
    assert len(table) == 0
    Strain(clock, clock.seconds).ask()
    foreign = clock.callLater(5.0, Parked[None]().fire, None)
    census.set()
    found = values(families.process_timers)
    assert (found["calls"], found["strain"], found["park"]) == (1, 1, 1)
    foreign.cancel()
    census.set()
    assert values(families.process_timers)["park"] == 0


def test_whose_a_timer_is_is_seen_through_what_is_round_it() -> None:
    clock = Clock()
    assert whose(clock.callLater(1.0, partial(partial(descriptors), 1))) == "server.census"
    sweep = Sweep(clock)
    sweep.add(partial(descriptors))
    sweep.wake()
    assert whose(clock.getDelayedCalls()[-1]) == "server.census"
    assert whose(clock.callLater(1.0, os.getpid)) == "posix"
    assert whose(SimpleNamespace()) == "builtins"


def test_tasks_are_counted(loop: asyncio.AbstractEventLoop) -> None:
    families = Families(Registry())

    async def waits() -> None:
        ending = asyncio.Event()
        task = asyncio.ensure_future(ending.wait())
        census = Census(world(), families, Clock(), asyncio.get_running_loop())
        census.set()
        # This one is a task too.
        assert families.process_tasks.labels().value == 2
        ending.set()
        await task
        census.set()
        assert families.process_tasks.labels().value == 1

    loop.run_until_complete(waits())


def test_chains_that_wait_are_counted_by_what_they_are_of(loop: asyncio.AbstractEventLoop) -> None:
    clock, families = Clock(), Families(Registry())
    table = CallTable(clock.seconds, Sweep(clock))
    adapters = [SimpleNamespace(calls=table), SimpleNamespace()]
    census = Census(world(everyone=[SimpleNamespace(adapter=each) for each in adapters]), families, clock, loop)
    parked: list[Parked[Any]] = []

    async def chain(call: Call) -> Any:
        parked.append(Parked())
        return await parked[-1]

    census.set()
    before = values(families.process_chains)
    call = Call("http", "edge", "GET", Headers())
    asides = [Aside("try", call, lambda call, reply, error: None) for _ in range(3)]
    for each in asides[:2]:
        each.start(chain)
    asides[2].follow(chain(call))
    table.add(asides[0])
    census.set()
    found = values(families.process_chains)
    assert found["call"] == 1
    assert found["try"] == before.get("try", 0) + 3
    parked[0].fire(None)
    parked[1].fail(ValueError())
    asides[2].give_up(Cancelled(Kind.TIMEOUT))
    census.set()
    assert values(families.process_chains)["try"] == before.get("try", 0)


def test_connections_are_counted_by_side(loop: asyncio.AbstractEventLoop) -> None:
    families = Families(Registry())
    pools = {"http": SimpleNamespace(open=2, idle=[1], waiting=[]), "odd": object()}
    cluster = SimpleNamespace(endpoints=[SimpleNamespace(pools=pools)])
    families.upstream_connections.labels("tcp", "db", "active").value = 3
    Census(world(connections=4, clusters={"web": cluster}), families, Clock(), loop).set()
    assert values(families.process_connections) == {"downstream": 4, "upstream": 5}


def test_descriptors_and_memory(loop: asyncio.AbstractEventLoop) -> None:
    families = Families(Registry())
    census = Census(world(), families, Clock(), loop)
    cell = families.process_descriptors.labels()

    def grown() -> bool:
        """Threads that other tests have left may open and close some as well."""
        census.set()
        before, pipe = cell.value, os.pipe()
        census.set()
        after = cell.value
        for each in pipe:
            os.close(each)
        return bool(after == before + 2)

    until(grown, "a pipe are two descriptors")
    assert families.process_memory.labels().value > 1 << 20


def test_descriptors_are_listed_where_the_system_does_not_count_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for each in range(4):
        (tmp_path / str(each)).touch()
    monkeypatch.setattr("twisted_mesh.server.census._DESCRIPTORS", ("/nowhere/fd", str(tmp_path)))
    # The one that lists is among them.
    assert descriptors() == 3
    monkeypatch.setattr("twisted_mesh.server.census._DESCRIPTORS", ("/nowhere/fd",))
    assert descriptors() == 0
