"""A look for garbage, at a moment when nobody waits."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_mesh.bus.tally import Tally
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.server import memory
from twisted_mesh.server.settling import MOST_GROWN, QUIET, Settling


class World:
    """As much of one as is looked at."""

    def __init__(self) -> None:
        self.active = 0


class Subject:
    """What settles, and what it has done with the memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        monkeypatch.setattr(memory, "set_aside", lambda: self.done.append("aside"))
        monkeypatch.setattr(memory, "settle_idle", lambda: self.done.append("idle"))
        self.clock = Clock()
        self.world: Any = World()
        families = Families(Registry())
        self.calls = families.calls.labels("http", "edge", "-", "-", "2xx", "-")
        self.held = 100 << 20
        self.settling = Settling(self.world, self.clock, Tally(families), lambda: self.held)


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    return Subject(monkeypatch)


def test_what_changes_leave_behind_goes_once_when_nobody_waits(subject: Subject) -> None:
    subject.settling.changed()
    subject.settling.changed()
    subject.world.active = 1
    subject.clock.advance(QUIET)
    assert subject.done == ["aside", "aside"]
    subject.world.active = 0
    subject.clock.pump([QUIET] * 3)
    assert subject.done == ["aside", "aside", "idle"]
    assert subject.clock.getDelayedCalls() == []


def test_it_does_not_wait_for_ever(subject: Subject) -> None:
    """A sidecar that is never idle must not grow with each change if its filters leave garbage in cycles."""
    subject.settling.changed()
    for _ in range(5):
        subject.calls.value += 1
        subject.clock.advance(QUIET)
    assert "idle" not in subject.done
    subject.calls.value += 1
    subject.held += MOST_GROWN
    subject.clock.advance(QUIET)
    assert subject.done[-1] == "idle"
    subject.settling.changed()
    subject.calls.value += 1
    subject.clock.advance(QUIET)
    assert subject.done[-1] == "aside"


def test_the_end_leaves_no_timer(subject: Subject) -> None:
    subject.settling.changed()
    subject.settling.stop()
    subject.settling.stop()
    assert subject.clock.getDelayedCalls() == []
