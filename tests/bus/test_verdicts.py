"""What sidecars say of endpoints to each other, at a real server."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Iterator, Sequence

import pytest

from tests.servers import Live, Server
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.verdicts import Verdicts
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.agreement import Opinion


class Sidecar:
    """One of them, which follows the cluster ``api``."""

    def __init__(self, live: Live, redis: Redis, subscriber: Subscriber, name: str) -> None:
        self.live = live
        self.redis = redis
        self.heard: Sequence[Opinion] = ()
        self.metrics = Registry()
        access = Access(
            redis, subscriber, Keys("shop"), live.reactor, random.Random(1), time.time, self.metrics, poll=0.2
        )
        self.verdicts = Verdicts(access, f"{name}/1", name)
        self.verdicts.start()
        self.following = self.verdicts.follow("api", self._heard)

    def _heard(self, opinions: Sequence[Opinion]) -> None:
        self.heard = opinions

    def tell(self, seconds: float = 60.0, endpoint: str = "10.0.0.1:80", reason: str = "7 failures in a row") -> None:
        self.live.run(lambda: self.verdicts.tell("api", endpoint, "breaker", reason, seconds))

    def hears(self, *nodes: str) -> Sequence[Opinion]:
        self.live.until(lambda: sorted(each.node for each in self.heard if each.left > 0) == sorted(nodes), f"{nodes}")
        return self.heard

    def count(self, result: str) -> float:
        family = self.metrics.family("twisted_mesh_bus_verdicts_total")
        return self.live.run(lambda: family.labels(result).value)  # type: ignore[no-any-return, union-attr]


@pytest.fixture
def sidecar(
    live: Live, redis: Callable[..., Redis], subscriber: Callable[..., Subscriber], redis_server: Server
) -> Iterator[Callable[[str], Sidecar]]:
    made: list[Sidecar] = []

    def make(name: str) -> Sidecar:
        one, other = redis(redis_server.url), subscriber(redis_server.url)
        made.append(live.run(lambda: Sidecar(live, one, other, name)))
        return made[-1]

    yield make
    for each in made:
        live.run(each.verdicts.stop)


def test_what_one_says_the_others_hear(sidecar: Any) -> None:
    one, two, three = map(sidecar, ["web-1", "web-2", "web-3"])
    one.tell()
    [heard] = two.hears("web-1")
    assert heard[:5] == ("web-1/1", "web-1", "10.0.0.1:80", "breaker", "7 failures in a row")
    assert 0 < heard.left <= 60
    two.tell()
    three.hears("web-1", "web-2")
    # Nobody hears themselves.
    one.hears("web-2")
    assert one.count("sent") == 1


def test_it_is_over_when_its_time_is(sidecar: Any) -> None:
    one, two = map(sidecar, ["web-1", "web-2"])
    one.tell(1.0)
    two.hears("web-1")
    two.hears()
    one.tell(0.01)
    one.tell(30.0, reason="x" * 1000)
    [heard] = two.hears("web-1")
    assert len(heard.reason) == 256


def test_who_says_it_anew_is_heard_as_anew(sidecar: Any, live: Live) -> None:
    one, two = map(sidecar, ["web-1", "web-2"])
    one.tell()
    [before] = two.hears("web-1")
    live.until(lambda: time.time() > float(before.mark.split()[1]) + 0.01, "another date")
    one.tell(reason="its probe failed")
    live.until(lambda: two.heard[0].reason == "its probe failed", "the second")
    assert two.heard[0].mark != before.mark


def test_who_comes_later_hears_what_still_holds(sidecar: Any) -> None:
    one = sidecar("web-1")
    one.tell()
    sidecar("web-2").hears("web-1")


def test_what_was_said_while_redis_was_away_is_said_when_it_is_back(
    sidecar: Any, live: Live, redis_server: Server
) -> None:
    one, two = map(sidecar, ["web-1", "web-2"])
    one.tell()
    two.hears("web-1")
    redis_server.kill()
    live.until(lambda: not one.redis.connected, "Redis is away")
    one.tell(endpoint="10.0.0.2:80")
    # It comes back empty.
    redis_server.start()
    live.until(lambda: {each.endpoint for each in two.heard} == {"10.0.0.1:80", "10.0.0.2:80"}, "both")
    assert len({each.mark for each in two.heard if each.endpoint == "10.0.0.1:80"}) == 1


def test_a_record_that_makes_no_sense_is_passed_over(sidecar: Any, live: Live) -> None:
    one, two = map(sidecar, ["web-1", "web-2"])
    leases = one.verdicts._leases
    live.run(lambda: leases.put("api", "breaker/x/y", b'{"sidecar": "z"}', 60.0))
    live.run(lambda: leases.put("api", "breaker/x/y", b"[]", 60.0))
    one.tell()
    two.hears("web-1")


def test_what_is_refused_is_said_and_counted(sidecar: Any, live: Live, redis_server: Server) -> None:
    one = sidecar("web-1")
    redis_server("ACL", "SETUSER", "default", "-hset")
    one.tell()
    live.until(lambda: one.verdicts._trouble != "", "a complaint")
    assert one.count("failed") == 1
    redis_server("ACL", "SETUSER", "default", "+hset")
    one.tell()
    live.until(lambda: one.verdicts._trouble == "", "none any more")
