"""What operators say at run time."""

from __future__ import annotations

import json
import random
from typing import Any, Callable, Iterator, Optional

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.bus.direct import Direct, result_of
from tests.servers import Server
from tests.support import until
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.disk import Ending, Kept, KeptOverrides
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.overrides import ALL, GIVE_BACK_AGAIN, Override, Overrides, check
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


class Wall:
    """A clock that says what it is told to."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def life(server: Server, clock: Clock, wall: Wall) -> Iterator[Callable[..., Overrides]]:
    """``life(kept)`` are the overrides of another process."""
    lives: list[Overrides] = []
    with server.connect() as redis:
        redis("FLUSHALL")

        def begin(kept: Optional[Kept] = None, connected: bool = True) -> Overrides:
            direct: Any = Direct(redis)
            direct.connected = connected
            deaf: Any = Deaf()
            access = Access(direct, deaf, Keys("shop"), clock, random.Random(1), wall, Registry())
            lives.append(Overrides(access, kept))
            return lives[-1]

        yield begin
        for each in lives:
            each.stop()


@pytest.fixture
def overrides(life: Callable[..., Overrides]) -> Overrides:
    return life()


def redis_of(overrides: Overrides) -> Direct:
    direct: Any = overrides._leases._redis
    assert isinstance(direct, Direct)
    return direct


def milliseconds(time: list[bytes]) -> int:
    """Return what TIME says, in milliseconds."""
    return int(time[0]) * 1000 + int(time[1]) // 1000


def kept_by(overrides: Overrides, wall: Wall) -> Kept:
    return Kept("shop", at=wall.now, overrides=overrides.kept())


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


def test_an_end_that_came_while_redis_stood_still_is_not_taken_back(overrides: Overrides, clock: Clock) -> None:
    overrides.start()
    result_of(overrides.put(drain(ttl=30.0)))
    clock.advance(2)
    redis_of(overrides).connected = False
    clock.advance(31)
    heard: list[int] = []
    overrides.follow(lambda: heard.append(len(overrides.in_force)))
    for each in overrides._follower._subscriber.on_down:  # type: ignore[union-attr]
        each()
    assert (overrides.in_force, heard) == ([], [])


def test_the_end_is_what_redis_says(overrides: Overrides, life: Callable[..., Overrides], clock: Clock) -> None:
    """Also for a sidecar that comes later; it is shown by Redis's clock, whatever its own is."""
    result_of(overrides.put(drain(ttl=600.0)))
    [(_, end)] = result_of(overrides._leases.read(ALL)).ends.items()
    redis_of(overrides).conversation("ZADD", "mesh:{shop}:override:all:leases", end - 590_000, "service/web/web-1")
    overrides.start()
    clock.advance(2)
    assert [each.expires for each in overrides.in_force] == [end - 590_000]
    clock.advance(10.5)
    assert overrides.in_force == []


def test_a_lease_that_was_renewed_is_found_at_its_end(overrides: Overrides, clock: Clock) -> None:
    """Nothing is published of it."""
    result_of(overrides.put(drain(ttl=30.0)))
    overrides.start()
    clock.advance(2)
    [(_, end)] = result_of(overrides._leases.read(ALL)).ends.items()
    redis_of(overrides).conversation("ZADD", "mesh:{shop}:override:all:leases", "XX", end + 20_000, "service/web/web-1")
    clock.advance(29)
    assert [each.expires for each in overrides.in_force] == [end + 20_000]


# --- over a restart


def test_they_hold_over_a_restart_while_redis_is_away(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall
) -> None:
    result_of(overrides.put(drain(ttl=600.0)))
    result_of(overrides.put(drain("*", kind="maintenance", percent=20.0, ttl=30.0)))
    overrides.start()
    clock.advance(2)
    kept = kept_by(overrides, wall)
    wall.now += 15
    again = life(kept, connected=False)
    found = again.of("api", "web", "web-1", "10.0.0.9:80")
    assert found is not None
    assert (found.kind, found.author, found.reason, found.remembered) == ("drain", "ann", "disk", True)
    assert abs(found.expires / 1000 - (wall.now + 585)) < 5
    assert again.of("api", "web", "*", "").percent == 20.0  # type: ignore[union-attr]
    assert again.kept().records[0].record == overrides.kept().records[0].record
    again.start()
    clock.advance(20)
    # Its time was over meanwhile.
    assert [each.id for each in again.in_force] == ["service/web/web-1"]


def test_what_ended_between_two_lives_is_not_brought_back(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall
) -> None:
    result_of(overrides.put(drain(ttl=30.0)))
    overrides.start()
    clock.advance(2)
    kept = kept_by(overrides, wall)
    wall.now += 31
    again = life(kept, connected=False)
    assert again.in_force == []
    assert again.kept().records == ()


def test_a_clock_that_was_put_back_makes_none_longer(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall
) -> None:
    result_of(overrides.put(drain(ttl=600.0)))
    overrides.start()
    clock.advance(2)
    kept = kept_by(overrides, wall)
    for _ in range(3):
        wall.now -= 86_400
        again = life(kept, connected=False)
        again.start()
        kept = kept_by(again, wall)
    assert again.in_force
    clock.advance(600)
    assert again.in_force == []


def test_what_is_spoilt_on_disk_is_passed_over(life: Callable[..., Overrides], wall: Wall) -> None:
    later = wall.now + 60
    good = json.dumps({"scope": "service", "name": "web", "endpoint": "a", "kind": "drain", "ttl": 60, "more": 1})
    records = tuple(Ending(each, later) for each in ("", "[]", '{"scope":"mesh"}', good))
    with capturedLogs() as logs:
        found = life(Kept("shop", at=wall.now, overrides=KeptOverrides(1, "", records)))
    assert [each.id for each in found.in_force] == ["service/web/a"]
    assert len(logs) == 3


def test_redis_has_the_last_word_when_it_is_back(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall
) -> None:
    """What was taken back meanwhile ends, what was changed changes, and nothing is remembered any more."""
    for endpoint in ("web-1", "web-2", "web-3"):
        result_of(overrides.put(drain(endpoint)))
    overrides.start()
    clock.advance(2)
    kept = kept_by(overrides, wall)
    result_of(overrides.remove("service/web/web-1"))
    result_of(overrides.put(drain("web-2", kind="weight", weight=5)))
    again = life(kept, connected=False)
    again.start()
    heard: list[int] = []
    again.follow(lambda: heard.append(len(again.in_force)))
    assert [each.remembered for each in again.in_force] == [True, True, True]
    redis_of(again).connected = True
    for each in redis_of(again).on_up:
        each()
    assert heard == [2]
    assert [(each.id, each.kind, each.remembered) for each in again.in_force] == [
        ("service/web/web-2", "weight", False),
        ("service/web/web-3", "drain", False),
    ]


def test_one_that_was_taken_back_long_ago_is_no_loss(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall
) -> None:
    """Redis forgets a set that is empty for an hour, with its version."""
    result_of(overrides.put(drain()))
    overrides.start()
    clock.advance(2)
    kept = kept_by(overrides, wall)
    result_of(overrides.remove(drain().id))
    redis_of(overrides).conversation("HDEL", "mesh:{shop}:overrides", "all")
    again = life(kept)
    again.start()
    clock.advance(5)
    assert again.in_force == []
    assert result_of(again.all()) == []


# --- what Redis has lost


@pytest.mark.parametrize("restarted", [False, True])
def test_what_redis_has_lost_holds_on_and_is_put_back(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock, wall: Wall, restarted: bool
) -> None:
    result_of(overrides.put(drain(ttl=600.0)))
    overrides.start()
    clock.advance(2)
    clock.advance(100)
    heard: list[int] = []
    if restarted:
        kept = kept_by(overrides, wall)
        overrides.stop()
        overrides = life(kept, connected=False)
        overrides.start()
    overrides.follow(lambda: heard.append(len(overrides.in_force)))
    redis_of(overrides).conversation("FLUSHALL")
    redis_of(overrides).connected = True
    with capturedLogs() as logs:
        clock.advance(1.2)
        assert overrides.in_force
        clock.advance(2)
    [said] = [formatEvent(each) for each in logs]
    assert said == "the Redis has lost 1 overrides, which hold on and are put back: service/web/web-1"
    [found] = result_of(overrides.all())
    assert (found.id, found.author, found.reason) == ("service/web/web-1", "ann", "disk")
    assert 490 < found.ttl < 501
    assert 0 not in heard
    clock.advance(400)
    assert overrides.in_force
    clock.advance(100)
    assert overrides.in_force == []


def test_what_cannot_be_put_back_is_tried_again(overrides: Overrides, clock: Clock) -> None:
    result_of(overrides.put(drain(ttl=600.0)))
    overrides.start()
    clock.advance(2)
    redis = redis_of(overrides).conversation
    redis("FLUSHALL")
    redis("CONFIG", "SET", "maxmemory", 1)
    try:
        with capturedLogs() as logs:
            clock.advance(1.2)
            clock.advance(2)
    finally:
        redis("CONFIG", "SET", "maxmemory", 0)
    [_, said] = [formatEvent(each) or "" for each in logs]
    assert said.startswith("overrides that the Redis has lost are not put back yet: ")
    assert result_of(overrides.all()) == []
    assert overrides.in_force
    clock.advance(GIVE_BACK_AGAIN)
    assert [each.id for each in result_of(overrides.all())] == ["service/web/web-1"]


def test_where_somebody_has_written_since_nothing_is_put_back(
    overrides: Overrides, life: Callable[..., Overrides], clock: Clock
) -> None:
    """Who knows what was meant with what is not there."""
    result_of(overrides.put(drain()))
    overrides.start()
    clock.advance(2)
    redis = redis_of(overrides).conversation
    redis("FLUSHALL")
    # What is new has a version of its own from the next millisecond on.
    flushed = redis("TIME")
    until(lambda: milliseconds(redis("TIME")) > milliseconds(flushed), "the next millisecond")
    result_of(life().put(drain("web-2")))
    clock.advance(5)
    assert [each.id for each in overrides.in_force] == ["service/web/web-2"]
    assert [each.id for each in result_of(overrides.all())] == ["service/web/web-2"]


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
