"""A world without sockets whose calls are explained: for the tests of each part of an explanation."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import Any, Iterator

import pytest
from twisted.internet.task import Clock

from tests.control.test_env import make_env
from tests.control.test_world import FakePort
from twisted_mesh.control.change import Change
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.imaginary import Question, imagine, listener_for
from twisted_mesh.control.load import load_text
from twisted_mesh.control.walk import Walk
from twisted_mesh.control.world import World

ONE, TWO = "127.0.0.1:7", "127.0.0.1:8"


@contextmanager
def live_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world with a Clock whose ports are pretended; nothing may be left of it."""
    monkeypatch.setattr("twisted_mesh.control.world.Port", FakePort)
    clock = Clock()
    world = World(make_env(clock), None, find_filter)  # type: ignore[arg-type]
    yield world
    world.stop()
    clock.pump([1.0] * 3)
    assert clock.getDelayedCalls() == []


def configure(world: World, routes: Any = None, **config: Any) -> None:
    """Put a configuration in force; `routes` are those of an HTTP listener `edge`, which sends all to `web` else."""
    edge = {"bind": "127.0.0.1:8080", "routes": routes or [{"to": "web"}]}
    whole: dict[str, Any] = {"access_log": "off", "listeners": {"edge": edge}, "clusters": {}}
    for name, value in config.items():
        whole[name] = whole[name] | value if isinstance(whole.get(name), dict) else value
    whole["clusters"] = {"web": {"endpoints": [ONE, TWO]}} | whole["clusters"]
    change = Change(world, load_text(json.dumps(whole)))
    for _ in change.steps():
        pass
    change.commit()


def walked(world: World, method: str, target: str = "", **more: Any) -> dict[str, Any]:
    """What becomes of a call that nobody has made."""
    asked = Question(method, target, **more)
    listener = listener_for(world, asked)
    return Walk(world, listener, imagine(listener, asked, world.env.now())).run()


def counted(world: World) -> str:
    """Everything that has been counted."""
    return world.env.metrics.expose().decode()
