"""Questions to Redis: one at a time for each key, and none that nobody would wait for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from twisted_mesh.filters.ratelimit_alone import Alone
from twisted_mesh.filters.ratelimit_questions import MOST, REST, RESULTS, Questions, Waiter
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.gcra import Gcra, Grant
from twisted_mesh.policy.rate_lease import Ask, RateLease
from twisted_mesh.testing import Env

GCRA = Gcra(100, 1.0, 100)


class Limit:
    name = "api"
    sidecars = 1
    connected = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, Ask]] = []
        self.answers: list[Deferred[Grant]] = []

    def ask(self, key: str, gcra: Gcra, asked: Ask) -> Deferred[Grant]:
        self.asked.append((key, asked))
        self.answers.append(Deferred())
        return self.answers[-1]


class World:
    def __init__(self) -> None:
        self.env = Env()
        self.env.advance(100.0)
        self.limit: Any = Limit()
        family = Registry().counter("twisted_mesh_filter_test_total", "Questions.", ("result",))
        self.cells = {each: family.labels(each) for each in RESULTS}
        self.granted: list[Any] = []
        self.questions = Questions(
            self.limit,
            GCRA,
            1,
            0.02,
            self.env,
            name_of=lambda key: f"k={key}",
            alone=Alone(self.limit, GCRA, 1, self.env, family.labels("alone")),
            cells=self.cells,
            granted=lambda key, lease: self.granted.append(key),
        )
        self.leases: dict[Any, RateLease] = {}

    def lease(self, key: Any) -> RateLease:
        return self.leases.setdefault(key, RateLease(GCRA, self.env.now()))

    def wait(self, key: Any = "a", units: int = 1, wanted: int = 0) -> Waiter:
        return self.questions.wait(key, self.lease(key), units, wanted)

    def answer(self, granted: int, at: int = -1) -> None:
        self.limit.answers[at].callback(Grant(granted, 50, 0.5, 0.0 if granted else 0.1))

    def counted(self) -> dict[str, float]:
        return {name: cell.value for name, cell in self.cells.items() if cell.value}


def test_calls_of_one_key_wait_for_one_answer_and_those_of_another_for_theirs() -> None:
    world = World()
    first, second, other = world.wait(), world.wait(), world.wait("b")
    assert world.limit.asked == [("k=a", Ask(1, 1, 0)), ("k=b", Ask(1, 1, 0))]
    assert repr(world.questions) == "<Questions 2 on their way, 0 late>"
    world.answer(1, 0)
    assert (first.told.value, second.told.done, other.told.done) == (True, False, False)
    assert world.limit.asked[2] == ("k=a", Ask(1, 1, 0))
    world.answer(0)
    assert second.told.value is False
    assert world.counted() == {"granted": 1, "none": 1}
    assert world.granted == ["a", "a"]


def test_what_came_with_a_call_is_asked_for_too() -> None:
    world = World()
    world.wait("a", wanted=9)
    # But never more than there ever is.
    world.wait("b", wanted=500)
    assert world.limit.asked == [("k=a", Ask(10, 1, 0)), ("k=b", Ask(100, 1, 0))]


def test_nobody_waits_for_what_is_late_and_nobody_asks() -> None:
    world = World()
    waiter = world.wait()
    assert world.questions.worth_waiting("a", world.lease("a"))
    world.env.advance(0.02)
    assert waiter.told.done and waiter.told.value is None
    assert not world.questions.answers()
    assert not world.questions.worth_waiting("a", world.lease("a"))
    assert not world.questions.worth_waiting("b", world.lease("b"))
    world.answer(1)
    assert world.questions.answers()
    assert world.counted() == {"late": 1}
    assert world.lease("a").tokens == 1


def test_after_a_failure_there_is_a_rest() -> None:
    world = World()
    waiter = world.wait()
    world.limit.answers[0].errback(RuntimeError("gone"))
    assert waiter.told.done and waiter.told.value is None
    assert not world.questions.answers()
    world.env.advance(REST)
    assert world.questions.answers()
    assert world.counted() == {"failed": 1}


def test_there_are_never_too_many_on_their_way() -> None:
    world = World()
    for each in range(MOST):
        assert world.questions.answers()
        world.wait(each)
    assert not world.questions.answers()
    world.answer(1)
    assert world.questions.answers()


def test_who_leaves_gets_nothing() -> None:
    world = World()
    first, second = world.wait(), world.wait()
    world.questions.leave("a", first)
    world.questions.leave("b", first)
    world.answer(1)
    assert second.told.value is True and not first.told.done


def test_without_a_connection_nobody_asks() -> None:
    world = World()
    world.limit.connected = False
    assert not world.questions.answers()
    assert not world.questions.worth_waiting("a", world.lease("a"))
