"""What operators say at run time."""

from __future__ import annotations

import random
from typing import Any, Iterator

import pytest
from twisted.internet.task import Clock

from tests.bus.direct import Direct, result_of
from tests.servers import Server
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.overrides import Override, Overrides, check
from twisted_mesh.metrics import Registry


class Deaf:
    """A subscriber whose channels are acknowledged and silent."""

    connected = True

    def __init__(self) -> None:
        self.on_up: list[Any] = []
        self.on_down: list[Any] = []

    async def subscribe(self, channel: str, heard: Any) -> None:
        self.heard = heard

    def unsubscribe(self, channel: str) -> None:
        self.heard = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def overrides(server: Server, clock: Clock) -> Iterator[Overrides]:
    with server.connect() as redis:
        redis("FLUSHALL")
        direct: Any = Direct(redis)
        deaf: Any = Deaf()
        made = Overrides(Access(direct, deaf, Keys("shop"), clock, random.Random(1), lambda: 0.0, Registry()))
        yield made
        made.stop()


def drain(endpoint: str = "web-1", **fields: Any) -> Override:
    made: dict[str, Any] = {"scope": "service", "name": "web", "endpoint": endpoint, "kind": "drain", "ttl": 600.0}
    return Override(**{**made, "author": "ann", "reason": "disk", **fields})


def test_what_is_put_is_listed_with_its_end(overrides: Overrides) -> None:
    """Everything that was said, and until when it holds."""
    result_of(overrides.put(drain()))
    (found,) = result_of(overrides.all())
    assert (found.id, found.kind, found.author, found.reason) == ("service/web/web-1", "drain", "ann", "disk")
    assert found.expires > 0
    assert result_of(overrides.remove("service/web/web-1")) is True
    assert result_of(overrides.remove("service/web/web-1")) is False
    assert result_of(overrides.all()) == []


def test_they_are_found_for_endpoints(overrides: Overrides, clock: Clock) -> None:
    """By instance or by address, of a service or of a cluster; what is said of the cluster goes first."""
    result_of(overrides.put(drain()))
    result_of(overrides.put(drain("10.0.0.1:80", scope="cluster", name="db", kind="weight", weight=5)))
    overrides.start()
    clock.advance(2)
    assert overrides.of("api", "web", "web-1", "10.0.0.9:80").kind == "drain"  # type: ignore[union-attr]
    assert overrides.of("api", "web", "web-2", "10.0.0.9:80") is None
    assert overrides.of("api", "", "", "10.0.0.1:80") is None
    assert overrides.of("db", "web", "web-1", "10.0.0.1:80").weight == 5  # type: ignore[union-attr]
    assert [each.id for each in overrides.in_force] == ["cluster/db/10.0.0.1:80", "service/web/web-1"]


def test_a_whole_cluster_or_service(overrides: Overrides, clock: Clock) -> None:
    """It is no endpoint's override, and the cluster's goes before the service's."""
    result_of(overrides.put(drain("*", kind="maintenance", percent=20.0)))
    overrides.start()
    clock.advance(2)
    assert overrides.of("api", "web", "*", "").percent == 20.0  # type: ignore[union-attr]
    assert overrides.of("api", "web", "web-1", "10.0.0.9:80") is None
    assert overrides.of("api", "", "*", "") is None
    result_of(overrides.put(drain("*", scope="cluster", name="api", kind="maintenance")))
    clock.advance(2)
    assert overrides.of("api", "web", "*", "").percent == 100.0  # type: ignore[union-attr]


def test_a_change_is_told(overrides: Overrides, clock: Clock) -> None:
    """Whoever follows hears of new ones and of their end."""
    overrides.start()
    heard: list[int] = []
    following = overrides.follow(lambda: heard.append(len(overrides.in_force)))
    result_of(overrides.put(drain()))
    clock.advance(2)
    assert heard == [1]
    result_of(overrides.remove(drain().id))
    clock.advance(2)
    assert heard == [1, 0]
    following.stop()
    result_of(overrides.put(drain()))
    clock.advance(2)
    assert heard == [1, 0]


def test_it_ends_at_its_time_also_while_redis_is_away(overrides: Overrides, clock: Clock) -> None:
    """Nobody has to say so."""
    overrides.start()
    result_of(overrides.put(drain(ttl=30.0)))
    clock.advance(2)
    overrides._follower._redis.connected = False  # type: ignore[union-attr]
    heard: list[int] = []
    overrides.follow(lambda: heard.append(len(overrides.in_force)))
    clock.advance(29)
    assert overrides.in_force
    clock.advance(2)
    assert not overrides.in_force
    assert overrides.of("x", "web", "web-1", "") is None
    assert heard == [0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scope": "mesh"}, "scope: expected service or cluster"),
        ({"kind": "stop"}, "kind: expected weight, drain or maintenance"),
        ({"name": ""}, "name: expected 1 to 256 printable characters"),
        ({"endpoint": "a\nb"}, "endpoint: expected 1 to 256 printable characters"),
        ({"weight": -1}, "weight: expected 0 to 1,000,000, got -1"),
        ({"ttl": 0.0}, "ttl: expected 1s to 30 days, got 0s"),
        ({"reason": "x" * 2000}, "author and reason: expected at most"),
        ({"endpoint": "*"}, "kind: expected maintenance for a whole service, got drain"),
        ({"endpoint": "*", "kind": "maintenance", "percent": 0.0}, "percent: expected more than 0"),
        ({"percent": 50.0}, "percent: expected 100 for a single endpoint, got 50"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], message: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match=message):
        check(drain(**fields))
