"""One connection that is kept: when it is tried again, and that nothing is left behind."""

from __future__ import annotations

import random
from typing import Any, Optional

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twisted_mesh.bus import upkeep as module
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.upkeep import LONGEST_WAIT, PING_EVERY, PROVEN, SHORTEST_WAIT, Upkeep


class Link:
    """A connection that does as the test says."""

    def __init__(self, server: str = "a:1") -> None:
        self.server = server
        self.ended: Deferred[BusError] = Deferred()
        self.failure: Optional[BusError] = None
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Deferred[Any] = Deferred()

    def ask(self, args: tuple[Any, ...], timeout: float) -> Deferred[Any]:
        self.asked.append(args)
        self.answer = Deferred()
        return self.answer

    def abort(self, why: BusError) -> None:
        if self.failure is None:
            self.failure = why
            self.ended.callback(why)


class Story:
    """An upkeep, its time, and what it has told."""

    def __init__(self, *, dice: float = 0.0) -> None:
        self.clock = Clock()
        self.events: list[str] = []
        self.outcomes: list[Any] = []
        self.attempts: list[float] = []
        self.pending: Deferred[Any] = Deferred()
        rolled = random.Random()
        rolled.random = lambda: dice  # type: ignore[method-assign]
        self.upkeep = Upkeep(
            "test",
            self._find,  # type: ignore[arg-type]
            reactor=self.clock,
            random=rolled,
            timeout=5.0,
            opened=lambda link: self.events.append(f"opened {link.server}"),
            closed=lambda why: self.events.append(f"closed {why}"),
            failed=lambda: self.events.append("failed"),
            alive=lambda: self.events.append("alive"),
        )

    def _find(self) -> Deferred[Any]:
        self.attempts.append(self.clock.seconds())
        if self.outcomes:
            outcome = self.outcomes.pop(0)
            return fail(outcome) if isinstance(outcome, BaseException) else succeed(outcome)
        self.pending = Deferred()
        return self.pending

    def over(self) -> None:
        """End it, and see that nothing is left."""
        self.upkeep.stop()
        assert self.clock.getDelayedCalls() == []


def down(text: str = "away") -> BusError:
    return BusError("down", text, server="a:1")


def test_it_is_tried_for_ever_and_the_waits_grow() -> None:
    """Decorrelated jitter: with the highest dice each wait is three times the one before, up to ten seconds."""
    story = Story(dice=1.0)
    story.outcomes = [down()] * 12
    story.upkeep.start()
    for _ in range(12):
        story.clock.advance(LONGEST_WAIT)
    waits = [after - before for before, after in zip(story.attempts, story.attempts[1:])]
    assert len(waits) == 12
    assert all(SHORTEST_WAIT <= each <= LONGEST_WAIT for each in waits)
    assert waits[-1] == LONGEST_WAIT
    assert story.events == ["failed"] * 12
    assert story.upkeep.trouble == "redis a:1: away"
    story.over()


def test_a_wrong_password_is_no_reason_to_give_up() -> None:
    story = Story()
    refused = BusError("refused", "WRONGPASS no", server="a:1", code="WRONGPASS")
    story.outcomes = [refused, refused, Link()]
    story.upkeep.start()
    story.clock.pump([SHORTEST_WAIT] * 3)
    assert story.events == ["failed", "failed", "opened a:1"]
    assert story.upkeep.trouble == ""
    story.over()


def test_a_connection_that_ends_soon_does_not_make_the_next_wait_short() -> None:
    """Or a server that lets everybody in and out would be called in a circle."""
    story = Story(dice=1.0)
    story.outcomes = [down(), down(), Link()]
    story.upkeep.start()
    story.clock.advance(0.151)
    story.clock.advance(0.451)
    link = story.upkeep.link
    assert link is not None
    link.abort(down("gone"))
    assert story.events[-1] == "closed redis a:1: gone"
    story.clock.advance(1.3)
    assert len(story.attempts) == 3
    story.clock.advance(0.1)
    assert len(story.attempts) == 4
    story.over()


def test_a_connection_that_lasted_makes_the_next_wait_short() -> None:
    story = Story(dice=1.0)
    link = Link()
    story.outcomes = [down(), down(), link]
    story.upkeep.start()
    story.clock.advance(0.151)
    story.clock.advance(0.451)
    story.clock.advance(PROVEN)
    link.abort(down("gone"))
    story.clock.advance(0.151)
    assert len(story.attempts) == 4
    story.over()


def test_it_is_pinged_and_a_pong_is_a_sign_of_life() -> None:
    story = Story()
    link = Link()
    story.outcomes = [link]
    story.upkeep.start()
    for _ in range(3):
        story.clock.advance(PING_EVERY)
        link.answer.callback(b"PONG")
    assert link.asked == [("PING",)] * 3
    assert story.events == ["opened a:1", "alive", "alive", "alive"]
    story.clock.advance(PING_EVERY)
    link.answer.errback(BusError("refused", "MASTERDOWN no", server="a:1", code="MASTERDOWN"))
    assert story.events[-1] == "closed redis a:1: MASTERDOWN no"
    story.over()


def test_another_server_is_looked_for_at_once_whatever_it_is_doing() -> None:
    """While it is connected, while it connects, and while it waits."""
    story = Story()
    first = Link("a:1")
    story.outcomes = [first]
    story.upkeep.start()
    story.outcomes = [down()]
    story.upkeep.look_again("moved")
    assert story.events == ["opened a:1", "closed redis a:1: moved", "failed"]
    assert len(story.attempts) == 2
    story.upkeep.look_again("moved")
    assert len(story.attempts) == 3
    hanging = story.pending
    story.outcomes = [Link("b:1")]
    story.upkeep.look_again("moved")
    assert hanging.called
    assert story.events[-1] == "opened b:1"
    assert set(story.attempts) == {0.0}
    story.over()


def test_a_connection_that_died_before_it_was_taken_is_no_connection() -> None:
    story = Story()
    dead = Link()
    dead.abort(down("gone before"))
    story.outcomes = [dead]
    story.upkeep.start()
    assert story.events == []
    assert story.upkeep.trouble == "redis a:1: gone before"
    assert story.upkeep.link is None
    story.over()


@pytest.mark.parametrize("state", ["connecting", "connected", "waiting"])
def test_it_ends_at_once_whatever_it_is_doing(state: str) -> None:
    story = Story()
    link = Link()
    story.outcomes = {"connecting": [], "connected": [link], "waiting": [down()]}[state]
    story.upkeep.start()
    story.upkeep.start()
    assert len(story.attempts) == 1
    story.over()
    assert story.upkeep.link is None
    assert story.upkeep.trouble == "stopped"
    assert (link.failure is not None) == (state == "connected")
    story.upkeep.stop()
    story.upkeep.look_again("moved")
    assert len(story.attempts) == 1


@pytest.mark.parametrize("moment", ["opened", "closed"])
def test_whoever_hears_of_it_may_end_it(moment: str) -> None:
    story = Story()
    link = Link()
    story.outcomes = [link, Link()]
    if moment == "opened":
        story.upkeep._opened = lambda link: story.upkeep.stop()  # type: ignore[assignment,return-value]
    else:
        story.upkeep._closed = lambda why: story.upkeep.stop()  # type: ignore[assignment,return-value]
    story.upkeep.start()
    link.abort(down())
    assert story.upkeep.link is None
    assert story.upkeep.trouble == "stopped"
    assert len(story.attempts) == 1
    story.over()


def test_the_same_trouble_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.log, "warn", lambda text, **values: said.append(text.format(**values)))
    monkeypatch.setattr(module.log, "info", lambda text, **values: said.append(text.format(**values)))
    story = Story()
    link = Link()
    story.outcomes = [down(), down(), down("else"), link]
    story.upkeep.start()
    story.clock.pump([SHORTEST_WAIT] * 4)
    link.abort(down())
    story.over()
    assert said == [
        "test: redis a:1: away",
        "test: redis a:1: else",
        "test: connected to redis a:1",
        "test: redis a:1: away",
    ]


def test_what_should_never_happen_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.log, "failure", lambda text, *more, **values: said.append(text.format(**values)))
    story = Story()
    story.outcomes = [ZeroDivisionError()]
    story.upkeep.start()
    assert story.upkeep.trouble == "broken; see the log"
    assert said == ["test: the connection's upkeep broke"]
    story.over()
