"""Several commands of one call that have the same key."""

from __future__ import annotations

from twisted_mesh.filters.ratelimit_several import Several
from twisted_mesh.policy.gcra import Gcra, Verdict
from twisted_mesh.policy.rate_lease import RateLease


class World:
    def __init__(self, tokens: int) -> None:
        self.lease = RateLease(Gcra(10, 1.0, 10), 0.0)
        self.lease.tokens = tokens
        self.admitted = [False] * 5
        self.several = Several(self.lease, [0, 2, 4], self.admitted)
        self.alone = 1

    def decide(self, lease: RateLease, cost: int) -> Verdict:
        self.alone -= 1
        return Verdict(self.alone >= 0, 0, 0.0, 0.0)


def test_as_many_as_there_are_units_for_are_admitted_the_first_ones_first() -> None:
    world = World(5)
    world.several.spend(2)
    assert world.admitted == [True, False, True, False, False]
    assert (world.several.left, world.lease.tokens) == ([4], 1)


def test_what_an_answer_makes_of_the_rest() -> None:
    world = World(0)
    world.lease.tokens = 1
    # Its own unit is taken from the lease already.
    world.several.told(True, world.decide, 1)
    assert world.admitted == [True, False, True, False, False]
    world.several.told(False, world.decide, 1)
    assert world.several.left == [4]
    world.several.told(None, world.decide, 1)
    assert world.several.left == [] and world.admitted[4]


def test_alone_it_is_over_at_the_first_that_is_refused() -> None:
    world = World(0)
    world.several.alone(world.decide, 1)
    assert world.admitted == [True, False, False, False, False]
    assert world.several.left == [2, 4]
