"""How much the process has to do."""

from __future__ import annotations

import sys

import pytest
from twisted.internet.task import Clock

from twisted_mesh.strain import PATIENCE, TICK, Strain, resident


class World:
    """A loop that may come late: `late` is how many seconds the time is ahead of the timers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.late = 0.0
        self.memory = 1 << 20
        self.strain = Strain(self.clock, lambda: self.clock.seconds() + self.late, lambda: self.memory)

    def ticks(self, count: int, late: float = 0.0, ask: bool = True) -> None:
        for _ in range(count):
            if ask:
                self.strain.ask()
            self.late += late
            self.clock.advance(TICK)


def test_a_loop_in_time() -> None:
    world = World()
    world.ticks(10)
    assert world.strain.lag == pytest.approx(0.0, abs=1e-6)
    assert repr(world.strain) == "<Strain lag=0ms memory=1MiB>"


def test_a_loop_that_is_late() -> None:
    world = World()
    world.ticks(5, late=0.2)
    assert world.strain.lag == pytest.approx(0.2)
    world.ticks(3)
    assert world.strain.lag == pytest.approx(0.0, abs=1e-6)


def test_memory_is_looked_at_now_and_then() -> None:
    world = World()
    world.strain.ask()
    assert world.strain.memory == 1 << 20
    world.memory = 5 << 20
    world.ticks(5)
    assert world.strain.memory == 5 << 20


def test_nothing_ticks_unless_somebody_asks() -> None:
    world = World()
    assert world.clock.getDelayedCalls() == []
    world.ticks(5, late=0.2)
    world.ticks(PATIENCE - 1, late=0.2, ask=False)
    assert world.strain.lag > 0
    world.ticks(1, ask=False)
    assert world.clock.getDelayedCalls() == []
    assert world.strain.lag == 0.0
    turn = world.strain.turn
    world.strain.ask()
    assert world.strain.turn == turn + 1
    assert len(world.clock.getDelayedCalls()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_memory_of_this_process() -> None:
    assert 10 << 20 < resident() < 10 << 30
