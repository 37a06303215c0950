"""Endpoints that are left out for their conduct, and come back."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.members import STATIC

ADDRESSES = [f"127.0.0.1:{port}" for port in range(1, 11)]
A, B, C = ADDRESSES[:3]


class World:
    """A cluster whose endpoints are told how their calls end."""

    def __init__(self, *addresses: str, **options: Any) -> None:
        self.env = FakeEnv()
        self.cluster = self.made(*(addresses or (A, B)), **options)
        self.cluster.start()

    def made(self, *addresses: str, **options: Any) -> Cluster:
        return Cluster("api", cluster_config(*addresses, **options), self.env, FakeConnector())  # type: ignore[arg-type]

    def end(self, at: int, status: int = 500, kind: Optional[Kind] = None, times: int = 1) -> None:
        """Calls to an endpoint end."""
        for _ in range(times):
            self.tell(self.cluster.endpoints[at], a_call(), status, kind)

    def tell(self, endpoint: Endpoint, call: Call, status: int = 500, kind: Optional[Kind] = None) -> None:
        assert endpoint.conduct is not None
        endpoint.conduct.ended(call, status, kind, 0.001)

    def picked(self, count: int = 60) -> set[str]:
        return {self.cluster.pick(a_call()).address for _ in range(count)}

    def held(self, at: int) -> str:
        return str(self.cluster.endpoints[at].describe()["conduct"]["held"])  # type: ignore[index]

    def pass_by(self, seconds: float) -> None:
        self.env.clock.advance(seconds)


def test_a_breaker_opens_and_one_call_finds_out() -> None:
    world = World(breaker={})
    world.end(0, times=7)
    assert world.picked() == {B}
    assert world.held(0).startswith("breaker open for 1.")
    assert world.held(0).endswith(": 7 failures in a row")
    assert world.env.count("cluster_ejections_total", "api", "breaker") == 1
    assert world.env.count("cluster_ejected", "api", "breaker") == 1
    assert any("warn cluster api: the breaker of 127.0.0.1:1 is open for" in each for each in world.env.said)
    world.pass_by(1.5)
    assert world.held(0) == "breaker half-open, waits for a call: 7 failures in a row"
    probe = a_call()
    assert world.cluster.pick(probe).address == A
    assert world.held(0) == "breaker half-open, is tried: 7 failures in a row"
    assert world.picked() == {B}
    world.tell(world.cluster.endpoints[0], probe, 200)
    assert world.held(0) == ""
    assert world.picked() == {A, B}
    assert world.env.count("cluster_ejected", "api", "breaker") == 0
    assert any("is closed" in each for each in world.env.said)
    assert not world.env.clock.getDelayedCalls()


def probing() -> tuple[World, Call]:
    """Return a world whose first endpoint is tried by one call, and that call."""
    world, probe = World(breaker={}), a_call()
    world.end(0, times=7)
    world.pass_by(1.5)
    assert world.cluster.pick(probe).address == A
    return world, probe


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    world, probe = probing()
    world.tell(world.cluster.endpoints[0], probe)
    world.pass_by(1.9)
    assert world.picked() == {B}
    world.pass_by(1.2)
    assert world.cluster.pick(a_call()).address == A


def test_what_the_others_say_while_it_is_half_open_does_not_count() -> None:
    world, probe = probing()
    world.end(0, 200, times=3)
    assert world.picked() == {B}
    world.end(0, 500, times=3)
    world.tell(world.cluster.endpoints[0], probe, 200)
    assert world.picked() == {A, B}


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    """The client went away, or the sidecar had no room."""
    world, probe = probing()
    world.tell(world.cluster.endpoints[0], probe, 0, Kind.CLIENT_GONE)
    assert world.cluster.pick(a_call()).address == A


def test_a_probe_whose_call_ends_before_it_is_sent_is_followed_by_another() -> None:
    world, probe = probing()
    assert world.held(0).startswith("breaker half-open, is tried")
    probe.complete(world.env.now(), lambda each: pytest.fail(f"{each!r} failed"))
    assert world.held(0).startswith("breaker half-open, waits for a call")
    assert not world.env.clock.getDelayedCalls()


def test_a_probe_that_has_ended_is_not_ended_again_by_its_call() -> None:
    world, probe = probing()
    world.tell(world.cluster.endpoints[0], probe)
    held = world.held(0)
    probe.complete(world.env.now(), lambda each: pytest.fail(f"{each!r} failed"))
    assert held.startswith("breaker open for")
    assert world.held(0) == held


def test_a_probe_that_never_ends_is_followed_by_another() -> None:
    world, late = probing()
    world.pass_by(29.0)
    assert world.picked() == {B}
    world.pass_by(2.0)
    assert world.cluster.pick(a_call()).address == A
    world.tell(world.cluster.endpoints[0], late, 500)
    assert world.held(0) == "breaker half-open, is tried: 7 failures in a row"


def test_a_call_that_failed_there_is_no_probe() -> None:
    world = World(breaker={})
    world.end(0, times=7)
    world.pass_by(1.5)
    assert world.cluster.pick(a_call((world.cluster.endpoints[0],))).address == B


def test_while_all_breakers_are_open_calls_fail_at_once_and_say_why() -> None:
    world = World(A, breaker={})
    world.end(0, 0, Kind.CONNECT_FAILED, times=7)
    with pytest.raises(MeshError) as caught:
        world.cluster.pick(a_call())
    assert caught.value.kind is Kind.NO_ENDPOINT
    assert "none of 1 endpoints takes calls: breaker open for 1." in caught.value.detail
    assert not world.cluster.ready
    world.pass_by(1.5)
    assert world.cluster.pick(a_call()).address == A
    with pytest.raises(MeshError):
        world.cluster.pick(a_call())


@pytest.mark.parametrize("status, kind", [(0, Kind.OVERFLOW), (0, Kind.CLIENT_GONE), (429, None), (404, None)])
def test_what_is_not_the_endpoints_fault_never_counts(status: int, kind: Optional[Kind]) -> None:
    world = World(breaker={}, outlier={})
    world.end(0, status, kind, times=100)
    assert world.held(0) == ""
    assert world.picked() == {A, B}


@pytest.mark.parametrize("balance", ["round_robin", "ring_hash", "maglev", "peak_ewma"])
def test_breakers_go_with_every_balance(balance: str) -> None:
    world = World(A, B, C, breaker={}, balance=balance)
    clients = [f"10.0.0.{each}" for each in range(100)]

    def pick(client: str) -> str:
        call = a_call()
        call.client = client
        return world.cluster.pick(call).address

    for each in clients:
        pick(each)
    world.end(0, times=7)
    assert {pick(each) for each in clients} <= {B, C}
    world.pass_by(1.5)
    # It is one of its own keys where there are keys.
    assert [pick(each) for each in clients].count(A) == 1
    world.cluster.stop()


def test_an_outlier_is_left_out_for_its_time() -> None:
    world = World(*ADDRESSES, outlier={})
    world.end(3, times=5)
    assert ADDRESSES[3] not in world.picked(300)
    assert world.held(3) == "ejected for 30.0 s: 5 errors in a row"
    assert world.env.count("cluster_ejected", "api", "outlier") == 1
    described = world.cluster.endpoints[3].describe()["conduct"]
    assert described["outlier"] == {"ejected": "5 errors in a row", "until": 1_700_000_030.0, "times": 1}  # type: ignore[index]
    world.pass_by(9.999)
    assert world.held(3)
    world.pass_by(20.002)
    assert world.held(3) == ""
    assert ADDRESSES[3] in world.picked(300)
    world.end(3, times=5)
    assert world.held(3) == "ejected for 60.0 s: 5 errors in a row"
    assert world.env.count("cluster_ejections_total", "api", "outlier") == 2


def test_no_more_are_out_than_may_be_and_never_the_last() -> None:
    world = World(A, B, outlier={})
    world.end(0, times=5)
    world.end(1, times=50)
    assert world.picked() == {B}
    assert world.env.count("cluster_ejections_refused_total", "api") > 0
    alone = World(A, outlier={})
    alone.end(0, times=50)
    assert alone.picked() == {A}


def test_shares_are_compared_at_each_look() -> None:
    world = World(*ADDRESSES[:5], outlier={"errors": 0})
    for at in range(5):
        world.end(at, 200, times=100)
    world.end(4, 500, times=100)
    world.pass_by(10.0)
    assert world.held(4).endswith("50.0 % of its calls went well, below 52.0 %, the mean less 1.9 deviations")
    assert ADDRESSES[4] not in world.picked(200)
    world.pass_by(1000.0)
    for _ in range(10):
        world.pass_by(10.0)
    assert world.env.clock.getDelayedCalls() == [], "an idle cluster looks at nothing"


def test_an_outlier_is_better_than_nobody() -> None:
    world = World(A, B, outlier={}, panic_threshold=0)
    world.end(0, times=5)
    for each, healthy in zip(world.cluster.endpoints, (True, False), strict=True):
        each.checked, each.healthy = True, healthy
    world.cluster.refresh()
    assert world.picked() == {A}


def test_a_reload_keeps_who_is_out_and_for_how_long() -> None:
    world = World(breaker={}, outlier={})
    world.end(0, times=7)
    old = world.cluster
    world.pass_by(0.5)
    new = world.made(A, B, breaker={}, outlier={}, connect_timeout="2s")
    new.adopt(old)
    new.start()
    old.stop()
    world.cluster = new
    assert world.picked() == {B}
    world.pass_by(1.0)
    assert world.held(0).startswith("breaker half-open")
    world.pass_by(29.0)
    assert new.endpoints[0].conduct is not None and not new.endpoints[0].conduct.ejected


def test_without_the_rule_nothing_is_kept() -> None:
    world = World(breaker={}, outlier={})
    world.end(0, times=7)
    old = world.cluster
    new = world.made(A, B)
    new.adopt(old)
    assert old.endpoints[0].conduct is not None
    new.start()
    old.stop()
    world.cluster = new
    assert new.endpoints[0].conduct is None
    assert world.picked() == {A, B}
    assert world.env.clock.getDelayedCalls() == []


def test_another_rule_begins_anew() -> None:
    world = World(breaker={})
    world.end(0, times=7)
    old = world.cluster
    new = world.made(A, B, breaker={"failures": 3})
    new.adopt(old)
    new.start()
    old.stop()
    world.cluster = new
    assert world.picked() == {A, B}
    world.end(0, times=3)
    assert world.picked() == {B}


def test_one_that_is_gone_leaves_no_timer() -> None:
    world = World(A, B, C, breaker={}, outlier={})
    world.end(0, times=7)
    assert world.env.clock.getDelayedCalls()
    world.cluster.replace(STATIC, world.cluster.endpoints[1:])
    world.cluster.stop()
    assert world.env.clock.getDelayedCalls() == []
    world.end(0, times=50)
    assert world.env.clock.getDelayedCalls() == []
    assert "Conducts of 2 in api" in repr(world.cluster._conducts)
