"""The configuration store in a Redis Cluster, and over a failover."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pytest

from tests.bus.test_config_follow import ANN, KEYS, Sidecar
from tests.redis_groups import Cluster, Watched
from tests.servers import Live, Server
from tests.support import until
from twisted_mesh.bus.client import BusError, Redis, Subscriber
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial
from twisted_mesh.bus.stored import Nack

MakeRedis = Callable[..., Redis]
MakeSubscriber = Callable[..., Subscriber]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.stop()


def test_one_node_of_a_cluster_has_it_all(
    live: Live, cluster: Cluster, redis: MakeRedis, subscriber: MakeSubscriber
) -> None:
    """Every script touches only keys of the mesh's slot, and messages come through."""
    one = redis(cluster.masters[0].url)
    store = ConfigStore(one, KEYS, clock=live.reactor)
    sidecar = Sidecar(one, subscriber(cluster.masters[1].url), live, "a", beat=60)
    live.run(sidecar.follower.start)
    live.run(sidecar.follower.ready)
    live.run(lambda: store.apply({"clusters/web": Draft(1)}, **ANN))
    sidecar.has(web=1)
    sidecar.refuses = lambda stored: [Nack("clusters/web", stored.version, "no")] if stored.canary else []
    live.run(lambda: store.apply({"clusters/web": Draft(2)}, canary=Trial(0.5), **ANN))
    live.until(lambda: sidecar.follower.stored.version == 3 and sidecar.follower.stored.canary is None)
    assert live.run(lambda: store.rolled_back(2)).version == 3
    live.run(sidecar.follower.stop)


def test_a_failover_is_survived(live: Live, redis: MakeRedis, subscriber: MakeSubscriber) -> None:
    """The master stands still; the sidecar finds the new one, reports there, and hears of what is written there."""
    group = Watched()
    try:
        one, two = redis(group.url, timeout=60.0), subscriber(group.url, timeout=60.0)
        store = ConfigStore(one, KEYS, clock=live.reactor)
        sidecar = Sidecar(one, two, live, "a")
        live.run(sidecar.follower.start)
        live.run(lambda: store.apply({"clusters/web": Draft(1), "clusters/api": Draft(1)}, **ANN))
        sidecar.has(web=1, api=1)
        live.run(lambda: one.command("WAIT", 1, 5000))
        old = next(each for each in group.servers if each.address == one.server)
        old.pause()

        def written() -> Any:
            try:
                return live.run(lambda: store.apply({"clusters/web": Draft(2)}, **ANN))
            except BusError:
                return None

        until(lambda: one.connected and one.server not in ("", old.address))
        until(written)
        sidecar.has(web=2, api=1)
        until(lambda: [each.step for each in live.run(store.status).sidecars] == ["in step"])
        assert sidecar.follower.behind == ""
        live.run(sidecar.follower.stop)
    finally:
        group.stop()


@contextmanager
def moving(cluster: Cluster, key: str, source: Server, target: Server) -> Iterator[Callable[[int], None]]:
    """While inside, the slot of a key is being moved; call what it gives with how many keys to move meanwhile."""
    slot = cluster.slot(key)
    # Nodes of one epoch might claim it back.
    until(lambda: len({_epoch(each) for each in cluster.masters}) == len(cluster.masters), "epochs that differ")
    target("CLUSTER", "SETSLOT", slot, "IMPORTING", source("CLUSTER", "MYID"))
    source("CLUSTER", "SETSLOT", slot, "MIGRATING", target("CLUSTER", "MYID"))

    def move(count: int) -> None:
        keys = source("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            source("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    yield move
    move(1000)
    for each in (target, *(each for each in cluster.masters if each is not target)):
        each("CLUSTER", "SETSLOT", slot, "NODE", target("CLUSTER", "MYID"))


def _epoch(server: Server) -> str:
    facts = server("CLUSTER", "INFO").decode()
    return next(line for line in facts.splitlines() if line.startswith("cluster_my_epoch:"))


def test_while_its_slot_moves_a_change_waits_and_others_connect(
    live: Live, cluster: Cluster, redis: MakeRedis, subscriber: MakeSubscriber
) -> None:
    """Some keys are here and some are there, and no script may run at either node.  Nothing is lost or said wrongly."""
    key = KEYS.prefix
    source = cluster.owner(key)
    target = next(each for each in cluster.masters if each is not source)
    one = redis(source.url)
    store = ConfigStore(one, KEYS, clock=live.reactor)
    sidecar = Sidecar(one, subscriber(source.url), live, "a", beat=0.2)
    live.run(sidecar.follower.start)
    live.run(lambda: store.apply({"clusters/web": Draft(1)}, **ANN))
    sidecar.has(web=1)
    results: list[Any] = []
    with moving(cluster, key, source, target) as move:
        move(1)
        live.run(lambda: store.apply({"clusters/web": Draft(2)}, **ANN).addBoth(results.append) and None)
        newcomer = redis(source.url)
        assert sidecar.values == {"clusters/web": 1}
        assert sidecar.follower.behind == ""
        assert results == []
    live.until(lambda: results)
    assert results == [(2, True)]
    sidecar.has(web=2)
    late = ConfigStore(newcomer, KEYS, clock=live.reactor)
    # The first to ask the old node is told where to go, and nothing else.
    until(lambda: live.run(late.read).version == 2)
    assert newcomer.server == target.address
    until(lambda: [each.step for each in live.run(store.status).sidecars] == ["in step"])
    live.run(sidecar.follower.stop)
