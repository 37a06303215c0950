"""Letting go of much, a little at a time."""

from __future__ import annotations

from weakref import WeakSet

from twisted.internet.task import Clock

from twisted_mesh.piecemeal import FEW, free_piecemeal


class Owner:
    """Has items."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items


class Item:
    """One of many."""


def owned(count: int, clock: Clock) -> tuple[Owner, WeakSet[Item]]:
    owner = Owner([Item() for _ in range(count)])
    free_piecemeal(owner, owner.items, clock)
    return owner, WeakSet(owner.items)


def test_they_go_in_several_turns_once_their_owner_is_gone() -> None:
    clock = Clock()
    owner, alive = owned(2 * FEW + 1, clock)
    clock.advance(1.0)
    assert len(alive) == 2 * FEW + 1
    del owner
    assert len(alive) == FEW + 1
    clock.getDelayedCalls()[0].reset(1.0)
    clock.advance(0.5)
    assert len(alive) == FEW + 1
    clock.advance(0.5)
    assert len(alive) == 0
    assert clock.getDelayedCalls() == []


def test_few_go_at_once() -> None:
    clock = Clock()
    owner, alive = owned(FEW, clock)
    del owner
    assert len(alive) == 0
    assert clock.getDelayedCalls() == []
