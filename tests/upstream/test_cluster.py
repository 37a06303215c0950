"""Picking, health, names and reloads of a cluster."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, FakeResolver, a_call, answer, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint

A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"


def a_cluster(
    *endpoints: Any,
    env: Optional[FakeEnv] = None,
    connector: Optional[FakeConnector] = None,
    resolver: Optional[FakeResolver] = None,
    **options: Any,
) -> Cluster:
    return Cluster(
        "api",
        cluster_config(*endpoints, **options),
        env or FakeEnv(),
        connector or FakeConnector(),  # type: ignore[arg-type]
        resolver,
    )


def addresses(cluster: Cluster) -> list[str]:
    return [each.address for each in cluster.usable]


def check(cluster: Cluster, *states: Optional[bool]) -> None:
    """Make the endpoints healthy, unhealthy or (None) unchecked."""
    for endpoint, state in zip(cluster.endpoints, states, strict=True):
        endpoint.checked, endpoint.healthy = state is not None, state is not False
    cluster.refresh()


class Pool:
    def __init__(self) -> None:
        self.drained = False

    def drain(self) -> None:
        self.drained = True


# --- picking


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_request"])
def test_all_endpoints_share_the_calls(balance: str) -> None:
    cluster = a_cluster(A, {"address": B, "weight": 2}, balance=balance)
    counted = Counter(cluster.pick(a_call()).address for _ in range(3000))
    assert 850 < counted[A] < 1150
    assert repr(cluster) == "<Cluster api 2 of 2 usable>"


def test_what_was_tried_is_avoided_while_there_is_another() -> None:
    cluster = a_cluster(A, B, C)
    one, two, three = cluster.endpoints
    one.active = 0
    two.active = three.active = 50
    assert {cluster.pick(a_call((one,))).address for _ in range(50)} == {B, C}
    assert {cluster.pick(a_call((one, two))).address for _ in range(50)} == {C}
    assert cluster.pick(a_call((one, two, three))) in cluster.endpoints


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_request", "peak_ewma"])
def test_one_that_cannot_be_connected_to_rests(balance: str) -> None:
    """Nor is it the next choice of a call that has failed elsewhere, while there is another."""
    env = FakeEnv()
    cluster = a_cluster(A, B, C, env=env, balance=balance)
    cluster.start()
    one, two, three = cluster.endpoints
    cluster.unreachable(one)
    two.active = three.active = 50
    assert {cluster.pick(a_call()).address for _ in range(50)} == {B, C}
    assert {cluster.pick(a_call((two,))).address for _ in range(50)} == {C}
    assert cluster.pick(a_call((two, three))).address == A
    env.clock.advance(1.0)
    assert A in {cluster.pick(a_call()).address for _ in range(50)}
    cluster.unreachable(two)
    cluster.stop()
    assert env.clock.getDelayedCalls() == []


def test_the_only_endpoint_does_not_rest() -> None:
    env = FakeEnv()
    cluster = a_cluster(A, env=env)
    cluster.start()
    cluster.unreachable(cluster.endpoints[0])
    assert env.clock.getDelayedCalls() == []
    assert cluster.pick(a_call()).address == A


def test_a_single_endpoint_is_tried_again() -> None:
    cluster = a_cluster(A)
    assert cluster.pick(a_call(cluster.endpoints)).address == A


def test_a_change_of_weight_counts_at_once() -> None:
    cluster = a_cluster(A, B, balance="round_robin")
    cluster.start()
    before = cluster.endpoints
    cluster.replace("", [Endpoint(before[0].target, weight=3), Endpoint(before[1].target)])
    assert cluster.endpoints == before
    assert Counter(cluster.pick(a_call()).address for _ in range(8)) == {A: 6, B: 2}


async def _reply(call: Call) -> Reply:
    return Reply(200)


def test_forward_goes_by_protocol() -> None:
    cluster = a_cluster(A)
    cluster.forwards["http"] = _reply
    coroutine: Any = cluster.forward(a_call())
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value.status == 200


# --- health


def test_unhealthy_endpoints_get_no_calls() -> None:
    cluster = a_cluster(A, B, C, health_check={"tcp": True})
    check(cluster, True, False, True)
    assert {cluster.pick(a_call()).address for _ in range(50)} == {A, C}


def test_a_panic_is_said_once_and_counted() -> None:
    env = FakeEnv()
    cluster = a_cluster(A, B, C, env=env, health_check={"tcp": True}, connector=FakeConnector())
    cluster.start()
    check(cluster, True, False, False)
    check(cluster, True, False, False)
    assert cluster.panicking
    assert {cluster.pick(a_call()).address for _ in range(50)} == {A, B, C}
    assert env.count("cluster_panic_picks_total", "api") == 50
    assert repr(cluster) == "<Cluster api 3 of 3 usable panicking>"
    check(cluster, True, True, False)
    cluster.pick(a_call())
    assert env.count("cluster_panic_picks_total", "api") == 50
    assert [each for each in env.said if "panic" in each] == [
        "warn cluster api panics: 1 of 3 endpoints are healthy, so all are used",
        "info cluster api panics no more: 2 are healthy",
    ]
    cluster.stop()


def test_without_panic_nobody_is_left() -> None:
    env = FakeEnv()
    cluster = a_cluster(A, B, env=env, health_check={"tcp": True}, panic_threshold=0)
    cluster.start()
    check(cluster, False, False)
    with pytest.raises(MeshError, match="cluster api: none of 2 endpoints is healthy") as raised:
        cluster.pick(a_call())
    assert raised.value.kind is Kind.NO_ENDPOINT
    assert not cluster.ready
    check(cluster, False, True)
    assert cluster.pick(a_call()).address == B
    assert [each for each in env.said if "endpoint" in each and "is " not in each] == [
        "error cluster api has no endpoint left that can be used",
        "info cluster api has 1 endpoints to use",
    ]
    cluster.stop()


def test_checks_run_from_start_to_stop() -> None:
    env, connector = FakeEnv(), FakeConnector()
    connector.answer[B] = "refuse"
    cluster = a_cluster(A, B, env=env, connector=connector, health_check={"tcp": True})
    assert not cluster.ready
    cluster.start()
    assert addresses(cluster) == [A]
    assert cluster.ready
    assert env.count("cluster_endpoints", "api") == 2
    assert env.count("cluster_endpoints_healthy", "api") == 1
    cluster.stop()
    cluster.stop()
    assert env.clock.getDelayedCalls() == []


def test_without_checks_an_endpoint_is_enough_to_be_ready() -> None:
    assert a_cluster(A).ready


def test_who_waits_for_changes_is_told() -> None:
    cluster = a_cluster(A, B, health_check={"tcp": True})
    told: list[int] = []
    cluster.on_change.append(lambda changed: told.append(len(changed.usable)))
    check(cluster, True, False)
    check(cluster, True, False)
    check(cluster, True, True)
    assert told == [1, 2]


# --- names


def test_every_address_of_a_name_is_an_endpoint() -> None:
    resolver = FakeResolver(web=answer("10.0.0.1", "fd00::1"))
    cluster = a_cluster({"address": "web:80", "weight": 3, "zone": "b"}, A, resolver=resolver)
    assert addresses(cluster) == [A]
    cluster.start()
    assert addresses(cluster) == [A, "10.0.0.1:80", "[fd00::1]:80"]
    assert [each.name for each in cluster.endpoints] == ["", "web:80", "web:80"]
    assert [each.weight for each in cluster.endpoints] == [1, 3, 3]
    cluster.stop()


def test_start_tells_when_every_name_was_looked_up() -> None:
    resolver = FakeResolver(one=None, two="no such name")
    cluster = a_cluster("one:80", "two:80", resolver=resolver)
    started: list[object] = []
    cluster.start().addCallback(started.append)
    with pytest.raises(MeshError, match="cluster api: not looked up yet; no such name"):
        cluster.pick(a_call())
    assert started == []
    resolver.pending.pop().callback(answer("10.0.0.1"))
    assert started == [None]
    assert cluster.pick(a_call()).address == "10.0.0.1:80"
    cluster.stop()


def test_an_address_that_is_gone_drains_and_one_that_stays_keeps_its_state() -> None:
    env, resolver = FakeEnv(), FakeResolver(web=answer("10.0.0.1", "10.0.0.2", ttl=5))
    cluster = a_cluster("web:80", env=env, resolver=resolver)
    cluster.start()
    one, two = cluster.endpoints
    pool = two.pools["http"] = Pool()
    resolver.names["web"] = answer("10.0.0.3", "10.0.0.1", ttl=5)
    env.clock.advance(5)
    assert [each.address for each in cluster.endpoints] == ["10.0.0.3:80", "10.0.0.1:80"]
    assert cluster.endpoints[1] is one
    assert (two.draining, pool.drained, one.draining) == (True, True, False)
    assert env.count("cluster_membership_changes_total", "api") == 2
    cluster.stop()


def test_an_address_given_twice_is_one_endpoint() -> None:
    cluster = a_cluster(A, A, "web:1", resolver=FakeResolver(web=answer("127.0.0.1")))
    cluster.start()
    assert [each.address for each in cluster.endpoints] == [A]
    cluster.stop()


# --- reloads


def test_state_survives_a_reload() -> None:
    env, connector = FakeEnv(), FakeConnector()
    connector.answer[B] = "refuse"
    old = a_cluster(A, B, env=env, connector=connector, health_check={"tcp": True})
    old.start()
    one, two = old.endpoints
    one.active = 4
    gone = two.pools["http"] = Pool()
    new = a_cluster({"address": A, "weight": 5}, C, env=env, connector=connector, health_check={"tcp": True})
    new.adopt(old)
    assert new.endpoints[0] is one
    assert one.weight == 1
    new.start()
    assert one.weight == 5
    old.stop()
    assert (one.draining, one.state, one.active) == (False, "healthy", 4)
    assert two.draining
    assert gone.drained
    new.stop()
    assert one.draining
    assert env.clock.getDelayedCalls() == []


def test_a_reload_that_is_given_up_changes_nothing() -> None:
    old = a_cluster(A, B)
    old.start()
    new = a_cluster({"address": A, "weight": 9})
    new.adopt(old)
    new.stop()
    assert [each.weight for each in old.endpoints] == [1, 1]
    assert not any(each.draining for each in old.endpoints)


def test_resolved_addresses_survive_a_reload() -> None:
    """The new cluster can be used before its own lookup has ended, and if that fails."""
    resolver = FakeResolver(web=answer("10.0.0.1"))
    old = a_cluster("web:80", resolver=resolver)
    old.start()
    resolver.names["web"] = "the name server failed"
    new = a_cluster({"address": "web:80", "weight": 2}, resolver=resolver)
    new.adopt(old)
    assert new.usable == old.usable
    new.start()
    assert new.endpoints == old.endpoints
    assert new.endpoints[0].weight == 2
    old.stop()
    assert addresses(new) == ["10.0.0.1:80"]
    new.stop()


def test_checks_that_end_with_a_reload_leave_no_verdict() -> None:
    connector = FakeConnector()
    connector.answer[A] = "refuse"
    old = a_cluster(A, connector=connector, health_check={"tcp": True}, panic_threshold=0)
    old.start()
    assert old.usable == ()
    new = a_cluster(A)
    new.adopt(old)
    new.start()
    old.stop()
    assert addresses(new) == [A]
    assert new.endpoints[0].state == "unchecked"
    new.stop()


def test_it_describes_itself() -> None:
    cluster = a_cluster(A, "web:80", resolver=FakeResolver(web="no such name"))
    cluster.start()
    described = cluster.describe()
    assert described["usable"] == [A]
    assert described["ready"] is True
    assert described["names"] == {"web:80": {"addresses": [], "problem": "no such name"}}
    assert [each["address"] for each in described["endpoints"]] == [A]  # type: ignore[attr-defined]
    cluster.stop()


def test_a_pick_that_was_for_nothing_is_the_next_one_and_counts_once() -> None:
    env = FakeEnv()
    cluster = a_cluster(A, B, C, env=env, health_check={"tcp": True}, balance="round_robin")
    cluster.start()
    check(cluster, True, False, False)
    check(cluster, True, False, False)
    first = cluster.picks.next()
    for _ in range(3):
        cluster.picks.put_back(first)
        assert cluster.picks.next() is first
    assert env.count("cluster_panic_picks_total", "api") == 1
    assert [cluster.pick(a_call()) for _ in range(3)][2] is first
    assert env.count("cluster_panic_picks_total", "api") == 4
    cluster.stop()
