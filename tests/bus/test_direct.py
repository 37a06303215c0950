"""Finding the node of the mesh's slot in a Redis Cluster."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Optional

import pytest

from tests.redis_groups import Cluster
from tests.servers import Live
from tests.support import until
from twisted_mesh.bus.client import BusError, Redis, Script, Subscriber
from twisted_mesh.bus.direct import moved_to
from twisted_mesh.model.address import Address

MakeRedis = Callable[..., Redis]
KEY = "mesh:{shop}:x"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(replicas=True)
    yield made
    made.stop()


def test_whichever_node_is_named_the_one_of_the_meshs_slot_is_used(
    live: Live, cluster: Cluster, redis: MakeRedis, subscriber: Callable[..., Subscriber]
) -> None:
    owner = cluster.owner(KEY)
    for node in [*cluster.masters, *cluster.replicas]:
        one = redis(node.url)
        assert one.server == owner.address
    script = Script("two", "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('SET', KEYS[2], ARGV[1])")
    assert live.run(lambda: one.script(script, [KEY, "mesh:{shop}:y"], ["v"])) == b"OK"
    two = subscriber(cluster.masters[0].url)
    got: list[bytes] = []
    live.run(lambda: two.subscribe("mesh:{shop}:c", got.append))
    live.run(lambda: one.command("PUBLISH", "mesh:{shop}:c", "x"))
    live.until(lambda: got == [b"x"])
    live.run(lambda: one.command("DEL", KEY, "mesh:{shop}:y"))


def test_another_mesh_is_at_another_node(live: Live, cluster: Cluster, redis: MakeRedis) -> None:
    names = {cluster.owner(f"mesh:{{{name}}}:"): name for name in map(str, range(100))}
    assert len(names) == 3
    for owner, name in names.items():
        assert redis(cluster.masters[0].url, mesh=name).server == owner.address


def test_a_slot_that_moves_is_followed(live: Live, cluster: Cluster, redis: MakeRedis) -> None:
    owner = cluster.owner(KEY)
    other = next(each for each in cluster.masters if each is not owner)
    one = redis(owner.url)
    cluster.move(KEY, other)
    with pytest.raises(BusError) as caught:
        live.run(lambda: one.command("GET", KEY))
    assert caught.value.code == "MOVED"
    live.until(lambda: one.server == other.address)
    assert live.run(lambda: one.command("GET", KEY)) is None
    cluster.move(KEY, owner)
    live.run(lambda: one.command("GET", KEY).addErrback(lambda failure: None))
    live.until(lambda: one.server == owner.address)


def test_the_replica_of_a_node_that_died_is_found_though_only_the_dead_one_was_named(
    live: Live, cluster: Cluster, redis: MakeRedis
) -> None:
    """Last, as it breaks the cluster."""
    owner = cluster.owner(KEY)
    one = redis(owner.url)
    assert one.server == owner.address
    replica = cluster.replicas[cluster.masters.index(owner)]
    until(lambda: b"master_link_status:up" in replica("INFO", "replication"))
    owner.kill()
    live.until(lambda: one.server == replica.address, repr(one))
    assert live.run(lambda: one.command("SET", KEY, 1)) == b"OK"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("MOVED 3999 127.0.0.1:6381", Address("127.0.0.1", 6381)),
        ("MOVED 3999 :6381", Address("asked", 6381)),
        ("MOVED 3999 ::1:6381", Address("::1", 6381)),
        ("MOVED 3999 redis-1.example:6381", Address("redis-1.example", 6381)),
        ("MOVED 3999", None),
        ("ERR MOVED 1 a:1", None),
    ],
)
def test_where_a_reply_points_to(text: str, address: Optional[Address]) -> None:
    assert moved_to(text, Address("asked", 1)) == address


def test_a_cluster_that_sends_us_round_in_circles_is_left(live: Live, redis: MakeRedis, tcp_upstream: Any) -> None:
    """Only here the server is not a real one: none does so for long."""

    def talk(client: Any) -> None:
        client.read_until(b"PING\r\n")
        client.send(b"+PONG\r\n")
        client.read_until(b"HELLO\r\n")
        client.send(b"*4\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster\r\n")
        client.read_until(b"EXISTS\r\n")
        client.send(b"-MOVED 1 :%d\r\n" % port[0])
        client.read_to_end()

    server = tcp_upstream(talk)
    port = [server.port]
    one = redis(f"redis://{server.address}", wait=False)
    live.until(lambda: "moved on 5 times: the cluster has not settled" in one.trouble, one.trouble)
