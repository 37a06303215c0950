"""Faults on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.filters.drive import FakeEnv, Run, Script, a_call
from tests.filters.redis_calls import Echo, lines, several
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
    assert repr(world.filter) == "<Fault 1 held up>"
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
    assert repr(world.filter) == "<Fault 0 held up>"
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
        ({}, "one or more of delay, abort and bandwidth"),
        ({"delay": {}}, "time"),
        ({"delay": {"time": "0s"}}, "more than 0"),
        ({"abort": {"percent": 101}}, "percent is from 0 to 100"),
        ({"delay": {"time": "1s", "percent": -1}}, "percent is from 0 to 100"),
        ({"abort": {"status": 200}}, "from 400 to 599"),
        ({"abort": {}, "max_active": 0}, "max_active is 1 or more"),
        ({"abort": {}, "header": {"a b": "x"}}, "header"),
        ({"bandwidth": {"rate": 0}}, "rate is 1 or more"),
        ({"bandwidth": {"rate": "1KiB", "direction": "down"}}, "direction"),
        ({"bandwidth": {"rate": "1KiB"}, "by_caller": True}, "by_caller is for delay and abort"),
    ],
)
def test_what_is_wrong_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(settings)


def test_callers_ask_for_faults_where_they_may() -> None:
    world = World(delay={"time": "1s"}, abort={}, by_caller=True)
    assert world.run(a_call()).reply.status == 200
    assert world.run(a_call(x_mesh_fault_abort="429")).error.status == 429
    for wrong in ("200", "abc", "4000", "4\xb23", "\xb9\xb2\xb3", ""):
        assert world.run(a_call(x_mesh_fault_abort=wrong)).reply.status == 200
    run = world.run(a_call(x_mesh_fault_delay="100ms"))
    assert run.result is None
    world.env.clock.advance(0.1)
    assert run.reply.status == 200
    assert world.run(a_call(x_mesh_fault_delay="soon")).reply.status == 200
    longest = world.run(a_call(x_mesh_fault_delay="1h"))
    world.env.clock.advance(1.0)
    assert longest.reply.status == 200


def test_one_of_the_values_of_a_header_is_enough() -> None:
    world, call = World(abort={}, header={"X-Team": "red"}), a_call()
    call.headers.add("x-team", "blue")
    assert world.run(call).reply.status == 200
    call.headers.add("x-team", "red")
    assert world.run(call).error.kind is Kind.FAULT


def test_a_caller_that_asks_for_nothing_gets_none() -> None:
    world = World(delay={"time": "1s"}, by_caller=True, header={"x-team": "red"})
    assert world.run(a_call(x_mesh_fault_delay="1s")).reply.status == 200
    assert world.run(a_call(x_mesh_fault_delay="1s", x_team="red")).result is None


def test_redis_commands_are_concerned_by_name() -> None:
    world = World(abort={}, method=["get"])
    assert world.run(a_call("GET", protocol="redis")).error.kind is Kind.FAULT
    assert world.run(a_call("SET", protocol="redis")).reply.status == 200


def test_of_commands_that_travel_together_only_those_are_failed_that_are_meant() -> None:
    world, upstream = World(abort={}, method=["set"]), Echo()
    chain = compose([world.filter], upstream)
    reply = Run(chain, several("GET a", "SET b 1", "INCR c")).reply
    assert lines(reply) == ["+GET a", "-ERR Fault Injected: Error", "+INCR c"]
    assert Run(chain, several("SET a 1", "SET b 1")).error.kind is Kind.FAULT
    assert lines(Run(chain, several("GET a", "INCR b")).reply) == ["+GET a", "+INCR b"]
    assert world.count("abort") == 3


def test_of_commands_that_travel_together_one_may_delay_all() -> None:
    world, upstream = World(delay={"time": "1s"}, abort={"percent": 0}, method=["SET"]), Echo()
    run = Run(compose([world.filter], upstream), several("GET a", "SET b 1"))
    assert run.result is None
    world.env.clock.advance(1.0)
    assert lines(run.reply) == ["+GET a", "+SET b 1"]


def test_commands_do_not_ask_for_faults() -> None:
    world, upstream = World(delay={"time": "1s"}, abort={}, by_caller=True), Echo()
    assert lines(Run(compose([world.filter], upstream), several("GET a", "SET b 1")).reply) == ["+GET a", "+SET b 1"]


@pytest.mark.parametrize(
    ("settings", "verdict", "why"),
    [
        ({"delay": {"time": "2s"}}, "wait", "2s late (100 %)"),
        ({"abort": {"percent": 5}}, "maybe", "failed with 503 (5 %)"),
        ({"abort": {}, "bandwidth": {"rate": "1KiB"}}, "refuse", "failed with 503 (100 %), slowed to 1KiB/s (100 %)"),
        ({"delay": {"time": "1s", "percent": 9}, "abort": {}}, "refuse", "1s late (9 %), failed with 503 (100 %)"),
        ({"delay": {"time": "1s"}, "bandwidth": {"rate": "1KiB"}}, "wait", "1s late (100 %), slowed to 1KiB/s (100 %)"),
        ({"bandwidth": {"rate": "1KiB"}}, "change", "slowed to 1KiB/s (100 %)"),
        ({"abort": {}, "method": ["POST"]}, "pass", "it is not meant"),
        ({"abort": {}, "by_caller": True}, "pass", "it asks for no fault"),
    ],
)
def test_it_says_what_it_would_do(settings: Any, verdict: str, why: str) -> None:
    world: Any = World(**settings)
    assert world.filter.explain(a_call()) == (verdict, why)
    assert world.count("abort") == 0


def test_it_says_what_the_caller_asks_for() -> None:
    world: Any = World(delay={"time": "1s"}, abort={}, by_caller=True)
    call = a_call()
    call.headers.set("x-mesh-fault-delay", "2s")
    assert world.filter.explain(call) == ("wait", "1s late (100 %)")
    call.headers.set("x-mesh-fault-abort", "418")
    assert world.filter.explain(call) == ("refuse", "1s late (100 %), failed with 418 (100 %)")


def test_it_says_that_it_would_do_nothing_more() -> None:
    world: Any = World(delay={"time": "1s"}, max_active=1)
    world.run()
    assert world.filter.explain(a_call()) == ("pass", "1 calls are held up already")
