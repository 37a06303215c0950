"""Calls of a priority whose connections have a limit of their own."""

from __future__ import annotations

from typing import Any, Optional

from tests.upstream.fakes import FakeEnv, a_call, cluster_config
from tests.upstream.server import Link, Sent, Server
from twisted_mesh.errors import Kind
from twisted_mesh.upstream.by_priority import HttpByPriority
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.http_forward import HttpForward
from twisted_mesh.upstream.pool import HttpPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOW, DEFAULT, HIGH = -1, 0, 1


class World:
    """A cluster of one endpoint whose connections are limited by priority."""

    def __init__(self, **limits: Any) -> None:
        self.env: Any = FakeEnv()
        self.server: Any = Server(self.env.clock)
        self.cluster = self.made(**limits)
        self.forward = HttpByPriority(self.cluster, self.server, self.env)

    def made(self, before: Optional[Cluster] = None, **limits: Any) -> Cluster:
        pool = {"max_pending": 0}
        cluster = Cluster("api", cluster_config("10.0.0.1:80", limits=limits, pool=pool), self.env, self.server)
        if before is not None:
            cluster.adopt(before)
        cluster.start()
        return cluster

    def send(self, priority: int) -> Sent:
        call = a_call()
        call.target = b"/"
        call.priority = priority
        sent = Sent(call)
        sent.driver.start(self.forward)
        return sent

    @property
    def last(self) -> Link:
        link: Link = self.server.last
        return link

    def open(self, priority: str) -> float:
        return float(self.env.count("cluster_priority_connections", "api", priority))

    @property
    def about(self) -> Any:
        return self.cluster.describe()["connections"]


def refused(sent: Sent) -> bool:
    return not sent.waiting and sent.error.kind is Kind.OVERFLOW


def test_each_priority_has_so_many_and_the_others_share_the_rest() -> None:
    world = World(connections=2, priorities={"low": {"connections": 1}})
    refusals = [refused(world.send(each)) for each in (LOW, LOW, DEFAULT, HIGH, DEFAULT)]
    assert refusals == [False, True, False, False, True]
    assert world.about == {
        "open": 2,
        "limit": 2,
        "waiting": 0,
        "priorities": {"low": {"open": 1, "limit": 1, "waiting": 0}},
    }
    assert world.open("low") == 1
    assert world.env.count("cluster_connections", "api") == 2
    assert repr(world.forward).endswith("1 priorities have their own>")


def test_what_one_has_idle_is_for_none_of_the_others() -> None:
    world = World(connections=1, priorities={"high": {"connections": 1}})
    first = world.send(DEFAULT)
    world.last.say(OK)
    assert first.reply.status == 200
    # High opens its own, whatever is idle; and keeps it.
    high = world.send(HIGH)
    assert high.waiting and len(world.server.links) == 2
    world.last.say(OK)
    assert high.reply.status == 200
    again = world.send(DEFAULT)
    assert again.waiting and len(world.server.links) == 2
    assert refused(world.send(DEFAULT))


def test_only_priorities_may_be_limited() -> None:
    world = World(priorities={"low": {"connections": 1}, "high": {}})
    assert [refused(world.send(each)) for each in (DEFAULT, DEFAULT, HIGH, LOW, LOW)] == [False] * 4 + [True]
    assert (world.about["open"], world.about["limit"]) == (3, None)


def test_a_reload_goes_on_with_what_is_open_and_lets_go_of_what_is_shared_now() -> None:
    world = World(connections=1, priorities={"low": {"connections": 2}})
    low = [world.send(LOW), world.send(LOW)]
    world.cluster = world.made(world.cluster, connections=1, priorities={"low": {"connections": 1}})
    world.forward = HttpByPriority(world.cluster, world.server, world.env)
    world.forward.start()
    assert world.about["priorities"]["low"] == {"open": 2, "limit": 1, "waiting": 0}
    assert refused(world.send(LOW))
    for each in world.server.links:
        each.say(OK)
    assert [each.reply.status for each in low] == [200, 200]
    cluster = world.made(world.cluster, connections=1)
    plain = HttpForward(cluster, world.server, world.env)
    plain.start()
    world.env.clock.advance(0)
    assert world.server.open == 0
    [endpoint] = cluster.endpoints
    assert not [name for name in endpoint.pools if name != "http"]
    assert world.open("low") == 0
    assert cluster.describe()["connections"] == {"open": 0, "limit": 1, "waiting": 0}
    world.forward.stop()
    plain.stop()


def test_idle_ones_grow_old() -> None:
    world = World(priorities={"low": {"connections": 1}})
    world.send(LOW)
    world.last.say(OK)
    [endpoint] = world.cluster.endpoints
    pool = endpoint.pools["http, priority low"]
    assert isinstance(pool, HttpPool) and len(pool.idle) == 1
    world.env.clock.pump([1.0] * 60)
    assert (world.server.open, world.open("low")) == (0, 0)
