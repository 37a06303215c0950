"""What a start waits for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Sequence

import pytest
from twisted.internet.task import Clock

from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.server.waiting import FIRST_READ, LACKING, Waiting

LACKS = Problem("mesh.yaml", 1, 1, "listeners.edge.routes", 'there is no routing table "shop"')


class Start:
    """A start with one listener."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.held = False
        self.given_up: list[str] = []
        port = SimpleNamespace(hold=lambda: self._hold(True), resume=lambda: self._hold(False))
        world: Any = SimpleNamespace(listeners={"edge": SimpleNamespace(ports={"127.0.0.1:1": port})})
        self.waiting = Waiting(world, self.clock, self._give_up)

    def _hold(self, held: bool) -> None:
        self.held = held

    def _give_up(self, problems: Sequence[Problem]) -> None:
        self.given_up = [str(each) for each in problems]


@pytest.fixture
def start() -> Start:
    return Start()


def test_clients_wait_until_the_bus_was_read(start: Start) -> None:
    start.waiting.begin(lambda: "", hold=True)
    assert (start.held, start.waiting.reason) == (True, "waiting for the bus")
    start.waiting.over()
    assert (start.held, start.waiting.reason) == (False, "")
    assert start.clock.getDelayedCalls() == []


def test_clients_do_not_wait_for_long(start: Start) -> None:
    start.waiting.begin(lambda: "", hold=True)
    start.clock.advance(FIRST_READ)
    assert (start.held, start.waiting.reason) == (False, "")
    start.waiting.over()


def test_clients_do_not_wait_where_something_was_kept(start: Start) -> None:
    start.waiting.begin(lambda: "", hold=False)
    assert (start.held, start.waiting.reason) == (False, "")
    start.waiting.over()


def test_what_the_files_lack_is_waited_for(start: Start) -> None:
    start.waiting.lacks = ConfigError([LACKS])
    start.waiting.begin(lambda: "", hold=True)
    start.clock.advance(FIRST_READ)
    assert start.waiting.reason == f"waiting for the bus: {LACKS}"
    start.waiting.over()
    assert start.waiting.reason == ""
    start.clock.advance(LACKING)
    assert start.given_up == []


@pytest.mark.parametrize(("trouble", "said"), [("refused", "refused"), ("", "what Redis has does not help")])
def test_what_never_comes_ends_the_process_with_all_that_is_known(start: Start, trouble: str, said: str) -> None:
    start.waiting.lacks = ConfigError([LACKS])
    start.waiting.begin(lambda: trouble, hold=False)
    start.clock.advance(LACKING)
    assert start.given_up == [str(LACKS), f"redis: {said}"]


def test_the_end_of_the_process_ends_it(start: Start) -> None:
    start.waiting.lacks = ConfigError([LACKS])
    start.waiting.begin(lambda: "", hold=True)
    start.waiting.stop()
    assert start.clock.getDelayedCalls() == []
    assert start.given_up == []
