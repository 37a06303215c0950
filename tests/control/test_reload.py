"""From "it may have changed" to a new world, or to a reason why not."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.control import reload as module
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.reload import SLICE, Reload
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.families import Families


def config(name: str) -> model.Config:
    return model.Config.model_validate({"node": {"id": name}, "access_log": "off"})


class Reading:
    """A Reload whose readings end when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.world = World(make_env(self.clock), None, find_filter)  # type: ignore[arg-type]
        self.readings: list[Deferred[model.Config]] = []
        self.applied: list[str] = []
        self.outside: list[str] = []
        self.undone: list[str] = []
        self.refuse_outside = False
        self.reload = Reload(self.world, self._read, self._move, self._applied)

    def _read(self) -> Deferred[model.Config]:
        self.readings.append(Deferred())
        return self.readings[-1]

    def _move(self, changed: model.Config) -> Any:
        if self.refuse_outside:
            raise ConfigError([Problem("admin", 0, 0, "", "taken")])
        self.outside.append(changed.node.id)
        return lambda: self.undone.append(changed.node.id)

    def _applied(self) -> None:
        assert self.world.config is not None
        self.applied.append(self.world.config.node.id)

    def counted(self) -> dict[str, float]:
        return {labels[0]: cell.value for labels, cell in Families(self.world.env.metrics).config_reloads.series()}


def test_what_is_read_is_applied() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    reading.reload.request("test")
    reading.readings[0].callback(config("two"))
    assert reading.applied == ["two"]
    assert reading.world.version == 2
    assert reading.outside == ["one", "two"]
    assert reading.counted() == {"applied": 2}
    families = Families(reading.world.env.metrics)
    assert families.config_version.labels().value == 2
    assert families.config_last_success.labels().value == 1e9


def test_what_is_as_it_was_changes_nothing() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    reading.reload.request("test")
    reading.readings[0].callback(config("one"))
    assert reading.applied == []
    assert reading.world.version == 1
    assert reading.counted() == {"applied": 1, "unchanged": 1}


def test_what_is_wrong_is_kept_to_be_shown_until_something_is_right() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    reading.reload.request("test")
    reading.readings[0].errback(ConfigError([Problem("mesh.yaml", 3, 5, "listeners", "no")]))
    assert reading.reload.refused == "mesh.yaml:3:5: listeners: no"
    assert reading.world.version == 1
    assert reading.counted() == {"applied": 1, "rejected": 1}
    assert Families(reading.world.env.metrics).config_rejected.labels().value == 1
    reading.reload.request("test")
    reading.readings[1].callback(config("one"))
    assert reading.reload.refused == ""


def test_what_nobody_expects_is_counted_and_the_next_request_works() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    reading.reload.request("test")
    reading.readings[0].errback(ZeroDivisionError("oops"))
    assert reading.reload.refused == "oops"
    assert reading.counted() == {"applied": 1, "rejected": 1}
    reading.reload.request("test")
    reading.readings[1].callback(config("two"))
    assert reading.applied == ["two"]


def test_requests_that_come_meanwhile_are_one_more_reading() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    for _ in range(3):
        reading.reload.request("test")
    assert len(reading.readings) == 1
    reading.readings[0].callback(config("two"))
    assert len(reading.readings) == 2
    reading.readings[1].callback(config("three"))
    assert len(reading.readings) == 2
    assert reading.applied == ["two", "three"]


def test_nothing_is_applied_once_it_was_stopped() -> None:
    reading = Reading()
    reading.reload.first(config("one"))
    reading.reload.request("test")
    reading.reload.stop()
    reading.readings[0].callback(config("two"))
    assert reading.world.version == 1
    reading.reload.request("test")
    assert len(reading.readings) == 1


def test_the_first_configuration_is_refused_with_its_problems() -> None:
    reading = Reading()
    reading.refuse_outside = True
    with pytest.raises(ConfigError, match="admin: taken"):
        reading.reload.first(config("one"))
    assert reading.world.version == 0


class SlowChange:
    """A change of ten steps, each of which takes 1 ms; it may fail at the end."""

    clock: Clock
    steps_done: list[float]
    fails = False
    given_up = 0

    def __init__(self, world: Any, changed: model.Config) -> None:
        self.config = changed
        SlowChange.steps_done = []

    def steps(self) -> Iterator[None]:
        for _ in range(10):
            # The clock moves on without running what is due, as it does while a step computes.
            self.clock.rightNow += 0.001
            self.steps_done.append(self.clock.seconds())
            yield

    async def warm(self) -> None:
        """Nothing to look up."""

    def give_up(self) -> None:
        SlowChange.given_up += 1

    def open(self) -> None:
        if self.fails:
            raise ConfigError([Problem("listeners.edge.bind[0]", 0, 0, "", "taken")])

    def begin(self) -> Iterator[None]:
        yield

    def swap(self) -> None:
        """Nothing to swap."""

    def tidy(self) -> Iterator[None]:
        yield


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    reading = Reading()
    reading.reload.first(config("one"))
    SlowChange.clock = reading.clock
    SlowChange.given_up = 0
    monkeypatch.setattr(module, "Change", SlowChange)
    yield reading
    assert reading.clock.getDelayedCalls() == []


def test_building_lets_calls_run_between_slices(slow: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[Deferred[None]] = []

    def later(clock: Clock, seconds: float) -> Deferred[None]:
        pauses.append(Deferred())
        return pauses[-1]

    monkeypatch.setattr(module, "deferLater", later)
    slow.reload.request("test")
    slow.readings[0].callback(config("two"))
    done = 0
    while pauses:
        assert len(SlowChange.steps_done) - done <= SLICE / 0.001 + 1
        done = len(SlowChange.steps_done)
        pauses.pop().callback(None)
    assert len(SlowChange.steps_done) == 10
    assert slow.counted() == {"applied": 2}
    assert SlowChange.given_up == 0


def test_a_change_that_cannot_be_committed_is_taken_back(slow: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlowChange, "fails", True)
    slow.reload.request("test")
    slow.readings[0].callback(config("two"))
    slow.clock.pump([0.0] * 10)
    assert slow.undone == ["two"]
    assert SlowChange.given_up == 1
    assert slow.reload.refused == "listeners.edge.bind[0]: taken"
    assert slow.counted() == {"applied": 1, "rejected": 1}
    assert slow.applied == []


def test_a_change_that_is_overtaken_by_the_end_is_given_up(slow: Reading) -> None:
    slow.reload.request("test")
    slow.readings[0].callback(config("two"))
    slow.reload.stop()
    slow.clock.pump([0.0] * 10)
    assert SlowChange.given_up == 1
    assert slow.outside == ["one"]
