"""What the garbage collector is kept from looking at."""

from __future__ import annotations

import gc
from typing import Iterator

import pytest

from twisted_mesh.server import memory


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_set_up_is_set_aside() -> None:
    memory.begin()
    assert not gc.isenabled()
    memory.settle_first()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == memory.THRESHOLDS
    assert len(gc.get_objects()) < 1000


def test_a_new_world_is_set_aside_too() -> None:
    memory.settle_first()
    before = gc.get_freeze_count()
    world = [[each] for each in range(10_000)]
    memory.set_aside()
    # What was set aside before may have gone meanwhile.
    assert gc.get_freeze_count() > before + len(world) // 2


class Ring:
    """Garbage that only the collector can find."""

    gone = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Ring.gone += 1


def test_what_a_swap_left_in_cycles_goes_when_nobody_waits() -> None:
    ring = Ring()
    memory.settle_first()
    del ring
    gc.collect()
    assert Ring.gone == 0
    memory.settle_idle()
    assert Ring.gone == 1
    assert gc.get_freeze_count() > 1000
