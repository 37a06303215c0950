"""Endpoints that rest after a failed connect."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from twisted_mesh.model import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.resting import LONGEST, REST, Resting


def test_they_rest_for_a_while() -> None:
    clock = Clock()
    changes: list[None] = []
    resting = Resting(clock, lambda: changes.append(None))
    one, two = (Endpoint(Address.parse(f"10.0.0.{at}:80")) for at in (1, 2))
    assert resting.awake((one, two)) == (one, two)
    resting.add(one)
    resting.add(one)
    assert (resting.awake((one, two)), len(changes)) == ([two], 1)
    assert repr(resting) == "<Resting 10.0.0.1:80>"
    resting.add(two)
    assert resting.awake((one, two)) == (one, two)
    clock.advance(REST)
    assert resting.awake((one, two)) == (one, two)
    assert (repr(resting), len(changes)) == ("<Resting nobody>", 4)


def test_the_rests_grow_while_it_fails_again_and_again() -> None:
    clock = Clock()
    resting = Resting(clock, lambda: None)
    one = Endpoint(Address.parse("10.0.0.1:80"))
    rests = []
    for _ in range(6):
        resting.add(one)
        [timer] = clock.getDelayedCalls()
        rests.append(timer.getTime() - clock.seconds())
        clock.advance(rests[-1])
    assert rests == pytest.approx([REST, 0.2, 0.4, 0.8, LONGEST, LONGEST])
    clock.advance(LONGEST + 0.1)
    resting.add(one)
    [timer] = clock.getDelayedCalls()
    assert timer.getTime() - clock.seconds() == pytest.approx(REST)


def test_stop_leaves_no_timer() -> None:
    clock = Clock()
    resting = Resting(clock, lambda: None)
    resting.add(Endpoint(Address.parse("10.0.0.1:80")))
    resting.stop()
    assert clock.getDelayedCalls() == [] and repr(resting) == "<Resting nobody>"
