"""Draining: first /ready fails, then the doors close, then the process waits for what is in flight."""

from __future__ import annotations

from twisted.internet.task import Clock

from twisted_mesh.server.drain import LOOK, Drain


class Listeners:
    """Has connections, and says what was done to it and when."""

    def __init__(self, clock: Clock, connections: int) -> None:
        self.clock = clock
        self.connections = connections
        self.active = connections
        self.announced: list[float] = []
        self.done: list[tuple[str, float]] = []

    def _note(self, what: str) -> None:
        self.done.append((what, round(self.clock.seconds(), 3)))

    def announce(self) -> None:
        self.announced.append(self.clock.seconds())

    def stop_accepting(self) -> None:
        self._note("stop_accepting")

    def drain(self) -> None:
        self._note("drain")

    def close_all(self) -> None:
        self._note("close_all")


def start(connections: int, limit: float = 30.0, wait: float = 1.0) -> tuple[Clock, Listeners, Drain, list[int]]:
    clock = Clock()
    listeners = Listeners(clock, connections)
    ended: list[int] = []
    drain = Drain(listeners, clock, ended.append)
    drain.begin("test", limit=limit, wait=wait)
    return clock, listeners, drain, ended


def test_the_doors_stay_open_for_a_while() -> None:
    clock, listeners, drain, ended = start(0)
    assert drain.begun
    clock.advance(0.9)
    assert (listeners.announced, listeners.done) == ([0.0], [])
    clock.pump([0.1, LOOK])
    assert listeners.done == [("stop_accepting", 1.0), ("drain", 1.0)]
    assert ended == [0]
    assert clock.getDelayedCalls() == []


def test_it_ends_when_the_last_connection_has_gone() -> None:
    clock, listeners, _, ended = start(2)
    clock.advance(1.0)
    clock.pump([LOOK] * 20)
    assert ended == []
    listeners.connections = 0
    clock.advance(LOOK)
    assert ended == [0]
    assert clock.getDelayedCalls() == []


def test_at_the_limit_the_rest_is_cut() -> None:
    clock, listeners, _, ended = start(1, limit=3.0)
    clock.advance(1.0)
    clock.pump([LOOK] * 99)
    assert ended == []
    clock.pump([LOOK] * 2)
    assert listeners.done[-1][0] == "close_all"
    assert ended == [1]
    assert clock.getDelayedCalls() == []


def test_the_wait_counts_towards_the_limit() -> None:
    clock, listeners, _, ended = start(1, limit=0.5, wait=1.0)
    clock.advance(0.5)
    clock.advance(LOOK)
    assert [each for each, _ in listeners.done] == ["stop_accepting", "drain", "close_all"]
    assert ended == [1]


def test_ending_now_cuts_what_is_open() -> None:
    clock, listeners, drain, ended = start(1)
    drain.end_now("again")
    assert listeners.done == [("close_all", 0.0)]
    assert ended == [1]
    assert clock.getDelayedCalls() == []


def test_ending_now_is_a_success_if_no_call_is_in_flight() -> None:
    _, listeners, drain, ended = start(1)
    listeners.active = 0
    drain.end_now("again")
    assert listeners.done == [("close_all", 0.0)]
    assert ended == [0]


def test_it_begins_and_ends_once() -> None:
    clock, listeners, drain, ended = start(0)
    drain.begin("again", limit=1.0, wait=0.0)
    clock.pump([1.0, LOOK])
    drain.end_now("late")
    assert len(listeners.done) == 2
    assert ended == [0]
