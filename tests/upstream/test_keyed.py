"""Keys stay with their endpoints."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.members import STATIC

ADDRESSES = [f"127.0.0.1:{port}" for port in range(1, 6)]
BALANCES = pytest.mark.parametrize("balance", ["ring_hash", "maglev"])


def a_cluster(balance: str, *addresses: Any, env: Optional[FakeEnv] = None, **options: Any) -> Cluster:
    config = cluster_config(*addresses, balance=balance, **options)
    made = Cluster("api", config, env or FakeEnv(), FakeConnector())  # type: ignore[arg-type]
    made.start()
    return made


def settle(cluster: Cluster) -> None:
    """Have the table filled."""
    clock: Any = cluster.env.clock
    while any(each.getTime() <= clock.seconds() for each in clock.getDelayedCalls()):
        clock.advance(0)


def keyed(client: str, tried: tuple[Any, ...] = ()) -> Call:
    call = a_call(tried)
    call.client = client
    return call


def owners(cluster: Cluster, count: int = 300) -> dict[str, str]:
    settle(cluster)
    return {f"10.0.0.{each}": cluster.pick(keyed(f"10.0.0.{each}")).address for each in range(count)}


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Whose keys have moved."""
    return {before[each] for each in before if before[each] != after[each]}


def out(cluster: Cluster, endpoint: Endpoint, is_out: bool = True) -> None:
    endpoint.out = "maintenance" if is_out else ""
    cluster.refresh()


@BALANCES
def test_a_key_goes_to_the_same_endpoint_and_keys_to_all_of_them(balance: str) -> None:
    first, second = a_cluster(balance, *ADDRESSES), a_cluster(balance, *ADDRESSES)
    found = owners(first)
    assert found == owners(first) == owners(second)
    assert set(found.values()) == set(ADDRESSES)


@BALANCES
def test_only_the_keys_of_one_that_takes_no_calls_move_and_they_come_back(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES)
    before = owners(cluster)
    out(cluster, cluster.endpoints[2])
    without = owners(cluster)
    assert moved(before, without) == {ADDRESSES[2]}
    assert len({without[each] for each in before if before[each] == ADDRESSES[2]}) > 1
    out(cluster, cluster.endpoints[2], False)
    assert owners(cluster) == before


@BALANCES
def test_one_that_rests_and_those_that_were_tried_are_passed_by(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES)
    settle(cluster)
    owner = cluster.pick(keyed("a"))
    second = cluster.pick(keyed("a", (owner,)))
    third = cluster.pick(keyed("a", (owner, second)))
    assert len({owner, second, third}) == 3
    cluster.unreachable(owner)
    assert cluster.pick(keyed("a")) is second
    assert cluster.pick(keyed("a", (second,))) is third
    assert cluster.pick(keyed("a", cluster.endpoints)) is second
    cluster.stop()


@BALANCES
def test_a_call_without_a_key_goes_anywhere(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES)
    settle(cluster)
    assert {cluster.pick(a_call()).address for _ in range(200)} == set(ADDRESSES)


@BALANCES
def test_weights_are_kept(balance: str) -> None:
    cluster = a_cluster(balance, ADDRESSES[0], {"address": ADDRESSES[1], "weight": 3})
    found = list(owners(cluster, 1000).values())
    assert 180 < found.count(ADDRESSES[0]) < 320


@BALANCES
def test_nobody_is_left(balance: str) -> None:
    cluster = a_cluster(balance, ADDRESSES[0])
    out(cluster, cluster.endpoints[0])
    with pytest.raises(MeshError) as caught:
        cluster.pick(keyed("a"))
    assert caught.value.kind is Kind.NO_ENDPOINT
    cluster.replace(STATIC, [])
    with pytest.raises(MeshError):
        cluster.pick(keyed("a"))


@BALANCES
def test_one_that_comes_back_as_another_object_gets_its_keys(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES)
    before = owners(cluster)
    kept = list(cluster.endpoints)
    gone = kept.pop(2)
    out(cluster, gone)
    cluster.replace(STATIC, kept)
    fresh = Endpoint(gone.target)
    cluster.replace(STATIC, [*kept[:2], fresh, *kept[2:]])
    assert owners(cluster) == before


def test_a_big_table_is_filled_while_calls_go_on() -> None:
    """Until it is there, the one before serves; at first a small one."""
    env = FakeEnv()
    cluster = a_cluster("maglev", *ADDRESSES, env=env)
    assert len(env.clock.getDelayedCalls()) == 1
    assert cluster.pick(keyed("a")).address in ADDRESSES
    before = owners(cluster)
    cluster.replace(STATIC, cluster.endpoints[:4])
    at_once = {each: cluster.pick(keyed(each)).address for each in before}
    assert moved(before, at_once) == {ADDRESSES[4]}
    settle(cluster)
    assert env.clock.getDelayedCalls() == []
    assert owners(cluster) == owners(a_cluster("maglev", *ADDRESSES[:4]))
    cluster.replace(STATIC, cluster.endpoints[:3])
    cluster.stop()
    assert env.clock.getDelayedCalls() == []


def test_a_small_table_is_there_at_once() -> None:
    env = FakeEnv()
    a_cluster("maglev", *ADDRESSES, env=env, hash={"table_size": 1009})
    assert env.clock.getDelayedCalls() == []


@BALANCES
@pytest.mark.parametrize("later", [{"connect_timeout": "2s"}, {"hash": {"key": "source", "ring_size": 2048}}])
def test_a_reload_moves_no_key(balance: str, later: dict[str, Any]) -> None:
    env = FakeEnv()
    old = a_cluster(balance, *ADDRESSES, env=env)
    before = owners(old)
    new = Cluster("api", cluster_config(*ADDRESSES, balance=balance, **later), env, FakeConnector())  # type: ignore[arg-type]
    new.adopt(old)
    new.start()
    old.stop()
    if "hash" in later:
        assert set(owners(new).values()) == set(ADDRESSES)
    else:
        assert {each: new.pick(keyed(each)).address for each in before} == before
        assert env.clock.getDelayedCalls() == []
        assert owners(new) == before


def test_panic_is_counted() -> None:
    env = FakeEnv()
    cluster = a_cluster("ring_hash", *ADDRESSES, env=env)
    for each in cluster.endpoints:
        each.checked, each.healthy = True, False
    cluster.refresh()
    assert cluster.pick(keyed("a")).address in ADDRESSES
    assert env.count("cluster_panic_picks_total", "api") == 1


def test_it_says_what_it_is() -> None:
    cluster = a_cluster("maglev", *ADDRESSES)
    assert repr(cluster.picks._keyed) == "<Keyed maglev of 5 filling>"
    assert repr(a_cluster("ring_hash", *ADDRESSES).picks._keyed) == "<Keyed ring_hash of 5>"


def test_only_the_keys_of_one_that_leaves_the_ring_move() -> None:
    """Nine endpoints have as many points each as ten; by Envoy's rule alone all would have others."""
    addresses = [f"10.0.0.{each}:80" for each in range(10)]
    cluster = a_cluster("ring_hash", *addresses)
    before = owners(cluster)
    cluster.replace(STATIC, cluster.endpoints[:9])
    assert moved(before, owners(cluster)) == {addresses[9]}


def test_a_ring_of_very_different_weights_is_bounded() -> None:
    cluster = a_cluster("ring_hash", {"address": ADDRESSES[0], "weight": 1_000_000}, ADDRESSES[1])
    table: Any = cluster.picks._keyed and cluster.picks._keyed._table
    assert len(table) <= 16_384
    assert cluster.pick(keyed("a")).address == ADDRESSES[0]


@BALANCES
def test_a_hot_key_spills_over_when_loads_are_bounded(balance: str) -> None:
    """To the same endpoints every time, and comes back."""
    cluster = a_cluster(balance, *ADDRESSES, hash={"bound": 1.5})
    settle(cluster)
    order = []
    for _ in range(20):
        picked = cluster.pick(keyed("hot"))
        picked.active += 1
        order.append(picked)
        total = sum(each.active for each in cluster.endpoints)
        assert picked.active <= 1.5 * total / 5 + 1
    assert len(set(order)) == 4, "these have room for all"
    for each in cluster.endpoints:
        each.active = 0
    cluster.refresh(True)
    assert cluster.pick(keyed("hot")) is order[0]


@BALANCES
def test_where_all_are_busy_or_tried_somebody_is_picked(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES[:2], hash={"bound": 1.1})
    settle(cluster)
    owner = cluster.pick(keyed("hot"))
    [other] = [each for each in cluster.endpoints if each is not owner]
    owner.active, other.active = 0, 50
    cluster.refresh(True)
    assert cluster.pick(keyed("hot", (owner,))) is other, "a busy one is better than one that failed"
    assert cluster.pick(keyed("hot", (owner, other))) is owner


@BALANCES
def test_it_can_be_said_why_a_key_is_where_it_is(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES)
    settle(cluster)
    call = keyed("10.0.0.1")
    owner, why = cluster.picks.peek(call)
    assert why == "the call's key belongs there"
    out(cluster, owner)
    following, why = cluster.picks.peek(call)
    assert following is not owner
    assert why == f"it is next for the call's key, which belongs to {owner.address}: that takes no calls now"


@BALANCES
def test_it_can_be_said_that_a_bound_has_moved_a_key(balance: str) -> None:
    cluster = a_cluster(balance, *ADDRESSES, hash={"bound": 1.25})
    settle(cluster)
    call = keyed("10.0.0.1")
    owner = cluster.pick(call)
    owner.active = 100
    for _ in range(len(ADDRESSES)):
        following, why = cluster.picks.peek(call)
    assert following is not owner
    assert why == f"it is next for the call's key, which belongs to {owner.address}: that has enough calls in flight"
