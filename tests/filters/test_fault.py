"""Faults on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.filters.drive import FakeEnv, Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.filters.fault import FaultSettings, plugin

READ: TypeAdapter[FaultSettings] = TypeAdapter(FaultSettings)


class World:
    def __init__(self, **settings: Any) -> None:
        self.env = FakeEnv()
        self.filter = plugin.build(READ.validate_python(settings), self.env)  # type: ignore[arg-type]

    def run(self, call: Any = None) -> Run:
        return Run(compose([self.filter], Script(lambda call: Reply(200))), call or a_call())

    def count(self, result: str) -> float:
        return self.env.count("filter_fault_calls_total", "test", result)


def test_a_call_is_failed() -> None:
    world = World(abort={"status": 418})
    error = world.run().error
    assert (error.kind, error.status, error.flag) == (Kind.FAULT, 418, "FI")
    assert world.count("abort") == 1


def test_a_share_of_the_calls_is_failed() -> None:
    world = World(abort={"percent": 25})
    for _ in range(400):
        world.run()
    assert 70 < world.count("abort") < 130


def test_a_call_is_delayed() -> None:
    world, call = World(delay={"time": "2s"}), a_call()
    run = world.run(call)
    world.env.clock.advance(1.9)
    assert run.result is None
    assert repr(world.filter) == "<Fault 1 waiting>"
    world.env.clock.advance(0.2)
    assert run.reply.status == 200
    assert call.flags == ("DI",)
    assert world.count("delay") == 1


def test_a_call_is_delayed_and_then_failed() -> None:
    world = World(delay={"time": "1s"}, abort={})
    run = world.run()
    assert run.result is None
    world.env.clock.advance(1.0)
    assert run.error.kind is Kind.FAULT


def test_no_more_wait_than_may() -> None:
    world = World(delay={"time": "1s"}, abort={}, max_active=2)
    runs = [world.run() for _ in range(3)]
    assert [each.result is None for each in runs] == [True, True, False]
    assert runs[2].reply.status == 200
    assert world.count("skipped") == 1
    world.env.clock.advance(1.0)
    assert world.run().result is None


def test_a_call_that_is_cancelled_waits_no_more() -> None:
    world = World(delay={"time": "1s"})
    run = world.run()
    run.driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert repr(world.filter) == "<Fault 0 waiting>"
    assert world.env.clock.getDelayedCalls() == []


def concerned() -> list[tuple[Call, bool]]:
    return [
        (a_call("GET", x_fault="yes", x_team="red"), True),
        (a_call("HEAD", x_fault="yes", x_team="red"), True),
        (a_call("POST", x_fault="yes", x_team="red"), False),
        (a_call("GET", x_fault="no", x_team="red"), False),
        (a_call("GET", x_fault="yes"), False),
        (a_call("GET"), False),
    ]


def test_only_some_calls_are_concerned() -> None:
    world = World(abort={}, header={"X-Fault": "yes", "x-team": "red"}, method=["get", "HEAD"])
    for call, expected in concerned():
        assert (world.run(call).result.__class__ is not Reply) is expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected delay, abort or both"),
        ({"delay": {}}, "time"),
        ({"delay": {"time": "0s"}}, "more than 0"),
        ({"abort": {"percent": 101}}, "percent is from 0 to 100"),
        ({"delay": {"time": "1s", "percent": -1}}, "percent is from 0 to 100"),
        ({"abort": {"status": 200}}, "from 400 to 599"),
        ({"abort": {}, "max_active": 0}, "max_active is 1 or more"),
        ({"abort": {}, "header": {"a b": "x"}}, "header"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(settings)
