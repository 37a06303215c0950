"""The first half of an end under `meshctl run`."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_mesh.server.drain import LOOK
from twisted_mesh.server.leaving import Leaving


class Adapter:
    def __init__(self) -> None:
        self.connections = 0
        self.active = 0
        self.done: list[str] = []

    def announce(self) -> None:
        """Nothing to see of it here."""

    def drain(self) -> None:
        self.done.append("drain")

    def close_all(self) -> None:
        self.done.append("close all")
        self.connections = 0


class Listener:
    def __init__(self, address: str) -> None:
        self.addresses = [address]
        self.adapter = Adapter()
        self.accepting = True

    def stop_accepting(self) -> None:
        self.accepting = False


class World:
    def __init__(self) -> None:
        self.inbound = Listener("127.0.0.1:8080")
        self.outbound = Listener("unix:/run/8080")
        self.listeners = {"in": self.inbound, "out": self.outbound}


class Story:
    def __init__(self) -> None:
        self.clock = Clock()
        self.world: Any = World()
        self.leaving = Leaving(self.world, self.clock)
        self.left = 0

    def begin(self, *ports: int) -> None:
        self.leaving.begin(ports, self.count, limit=11.0, wait=1.0)

    def count(self) -> None:
        self.left += 1


@pytest.fixture
def story() -> Story:
    return Story()


def test_without_a_listener_of_its_own_the_news_is_all_that_is_waited_for(story: Story) -> None:
    story.begin()
    assert story.leaving.begun
    story.clock.advance(0.9)
    assert story.left == 0
    story.clock.advance(0.2)
    assert story.left == 1
    assert story.world.inbound.accepting
    assert story.clock.getDelayedCalls() == []


def test_what_comes_in_for_the_application_is_drained_and_the_rest_goes_on(story: Story) -> None:
    story.world.inbound.adapter.connections = story.world.inbound.adapter.active = 1
    story.begin(8080)
    story.clock.advance(1.0)
    assert not story.world.inbound.accepting
    assert story.world.inbound.adapter.done == ["drain"]
    story.clock.pump([LOOK] * 10)
    assert story.left == 0
    story.world.inbound.adapter.connections = 0
    story.clock.advance(LOOK)
    assert story.left == 1
    assert story.world.outbound.accepting
    assert story.world.outbound.adapter.done == []


def test_what_does_not_end_is_cut_at_the_limit(story: Story) -> None:
    story.world.inbound.adapter.connections = story.world.inbound.adapter.active = 1
    story.begin(8080)
    story.clock.pump([1.0] + [LOOK] * int(10.0 / LOOK + 2))
    assert (story.left, story.world.inbound.adapter.done) == (1, ["drain", "close all"])


def test_it_stops_with_the_process(story: Story) -> None:
    story.begin(8080)
    story.leaving.stop()
    assert story.clock.getDelayedCalls() == []
