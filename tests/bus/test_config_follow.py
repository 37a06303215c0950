"""Following the configuration store, at real servers that are emptied, paused and killed."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Iterator, Optional

import pytest

from tests.servers import Live, Server
from tests.support import until
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.config_follow import ConfigFollower
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial, Written
from twisted_mesh.bus.stored import EMPTY, Nack, Stored
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.canary import place
from twisted_mesh.policy.selector import Who

ANN = {"author": "ann", "reason": "why not"}
KEYS = Keys("shop")
CHANNEL = "mesh:{shop}:config"


class Sidecar:
    """A follower that takes what it is given at once."""

    def __init__(self, redis: Redis, subscriber: Subscriber, live: Live, node: str, **options: Any) -> None:
        self.live = live
        self.families = Families(Registry())
        self.had: list[Stored] = []
        self.refuses: Callable[[Stored], list[Nack]] = lambda stored: []
        options.setdefault("beat", 0.1)
        self.follower = ConfigFollower(
            redis,
            subscriber,
            KEYS,
            Who(node),
            self._take,
            clock=live.reactor,
            now=time.monotonic,
            random=random.Random(1),
            families=self.families,
            **options,
        )

    def _take(self, stored: Stored) -> None:
        self.had.append(stored)
        self.follower.acknowledge(stored, self.refuses(stored))

    @property
    def values(self) -> dict[str, Any]:
        return {name: each.value for name, each in self.follower.stored.resources.items()}

    def counted(self, family: str, label: str) -> float:
        return getattr(self.families, family).labels(label).value

    def has(self, **values: Any) -> None:
        """Wait until it has these clusters and no others."""
        wanted = {f"clusters/{name}": value for name, value in values.items()}
        self.live.until(lambda: self.values == wanted, f"{wanted}: {self.follower!r}")


class Made:
    """Sidecars of one server, and a store to write to."""

    def __init__(self, live: Live, server: Server, redis: Any, subscriber: Any) -> None:
        self.live = live
        self.server = server
        self._redis = redis
        self._subscriber = subscriber
        self.redis = redis(server.url, timeout=1.0)
        self.subscriber = subscriber(server.url, timeout=1.0)
        self.store = ConfigStore(self.redis, KEYS, clock=live.reactor)
        self.sidecars: list[Sidecar] = []

    def sidecar(self, node: str = "a", own: bool = False, **options: Any) -> Sidecar:
        """Start one; all share their subscriber, unless it is to have its `own`, but its channel can be had once."""
        subscriber = self._subscriber(self.server.url, timeout=1.0) if own or self.sidecars else self.subscriber
        one = Sidecar(self.redis, subscriber, self.live, node, **options)
        self.live.run(one.follower.start)
        self.sidecars.append(one)
        return one

    def apply(self, canary: Optional[Trial] = None, **values: Any) -> int:
        drafts = {f"clusters/{name}": None if value is None else Draft(value) for name, value in values.items()}
        written: Written = self.live.run(lambda: self.store.apply(drafts, canary=canary, **ANN))
        return written.version

    def status(self) -> Any:
        return self.live.run(self.store.status)


@pytest.fixture
def made(live: Live, redis_server: Server, redis: Any, subscriber: Any) -> Iterator[Made]:
    one = Made(live, redis_server, redis, subscriber)
    yield one
    for each in one.sidecars:
        live.run(each.follower.stop)


def test_a_change_is_followed_and_acknowledged(made: Made, live: Live) -> None:
    made.apply(web=1)
    one = made.sidecar(beat=60)
    live.run(one.follower.ready)
    assert one.values == {"clusters/web": 1}
    live.until(lambda: made.subscriber.connected)
    one.refuses = lambda stored: [Nack("clusters/web", stored.version, "no")]
    version = made.apply(web=2)
    status = live.run(lambda: made.store.wait(version, 10))
    assert (status.waiting_for(version), status.nacks) == ([], [("a", Nack("clusters/web", 2, "no"))])
    assert one.families.bus_config_version.labels().value == 2
    assert one.families.bus_config_refused.labels().value == 1
    assert one.had[-1].changed == {"clusters/web"}


def test_an_empty_store_is_told_once(made: Made, live: Live) -> None:
    """So that who waits for it at the start may go on with the file."""
    one = made.sidecar()
    live.run(one.follower.ready)
    live.until(lambda: one.counted("bus_reports", "sent") > 3)
    assert one.had == [EMPTY]


def test_a_start_before_there_is_a_connection_is_no_trouble(made: Made, live: Live, redis: Any) -> None:
    made.server.kill()
    made.redis = redis(made.server.url, timeout=1.0, wait=False)
    one = made.sidecar(beat=60)
    made.server.start()
    live.run(one.follower.ready)
    live.until(lambda: one.counted("bus_reports", "sent") > 0)
    assert [one.counted(each, "failed") for each in ("bus_config_reads", "bus_reports")] == [0, 0]


def test_waiting_ends_with_time_and_says_who_did_not(made: Made, live: Live) -> None:
    one = made.sidecar()
    live.run(one.follower.ready)
    until(lambda: made.status().sidecars)
    one.follower._changed = lambda stored: None
    version = made.apply(web=1)
    status = live.run(lambda: made.store.wait(version, 0.2))
    assert [(each.node, each.step) for each in status.waiting_for(version)] == [("a", "behind")]


def test_a_message_that_is_lost_costs_a_beat(made: Made, live: Live) -> None:
    """Nothing is published here: the report hears of the newer version."""
    one = made.sidecar()
    live.until(lambda: made.subscriber.connected)
    live.run(lambda: made.subscriber.unsubscribe(CHANNEL))
    made.apply(web=1)
    one.has(web=1)


def test_messages_that_come_twice_or_make_no_sense_change_nothing(made: Made, live: Live) -> None:
    one = made.sidecar(beat=60)
    live.until(lambda: made.subscriber.connected)
    made.apply(web=1)
    one.has(web=1)
    # The change may have been read before its own hint arrives: that hint is then a known one.
    live.until(lambda: one.counted("bus_config_hints", "new") + one.counted("bus_config_hints", "known") == 1)
    known = one.counted("bus_config_hints", "known")
    reads = one.counted("bus_config_reads", "changed")
    for payload in (
        f'{{"epoch":"{one.follower.stored.epoch}","version":1}}',
        "rubbish",
        "",
        '{"epoch":5}',
        '{"version":1e99}',
    ):
        made.server("PUBLISH", CHANNEL, payload)
    live.until(lambda: one.counted("bus_config_hints", "malformed") == 4)
    assert one.counted("bus_config_hints", "known") == known + 1
    assert one.counted("bus_config_reads", "changed") == reads
    made.server("PUBLISH", CHANNEL, '{"epoch":"9-x","version":77}')
    live.until(lambda: one.counted("bus_config_reads", "unchanged") >= 2)
    assert one.values == {"clusters/web": 1}


def test_many_changes_at_once_come_out_as_the_last(made: Made, live: Live) -> None:
    one = made.sidecar(beat=60)
    live.until(lambda: made.subscriber.connected)

    async def storm() -> None:
        writes = [made.store.apply({f"clusters/c{each % 7}": Draft(each)}, **ANN) for each in range(200)]
        for each in writes:
            await each

    live.run(storm())
    one.has(**{f"c{each % 7}": each for each in range(193, 200)})
    assert one.counted("bus_config_reads", "changed") < 200


def test_a_large_store_is_read_in_pages(made: Made, live: Live) -> None:
    drafts = {f"clusters/c{each}": Draft({"n": each, "x": "y" * 3000}) for each in range(350)}
    live.run(lambda: made.store.apply(drafts, **ANN))
    one = made.sidecar()
    live.run(one.follower.ready)
    assert len(one.values) == 350


def test_a_server_that_was_restarted_empty_takes_nothing_away(made: Made, live: Live) -> None:
    one, two = made.sidecar("a"), made.sidecar("b")
    made.apply(web=1, api=2)
    one.has(web=1, api=2)
    two.has(web=1, api=2)
    made.server.restart()
    live.until(lambda: one.follower.behind and two.follower.behind)
    assert one.follower.behind == "the store is empty, less than version 1 here, which stays in force"
    assert one.families.bus_config_behind.labels().value == 1
    live.until(lambda: made.redis.connected)
    until(lambda: made.status().offer, "an offer")
    status = made.status()
    assert "the store is behind the sidecars: it is empty" in status.behind
    until(lambda: {each.step for each in made.status().sidecars} == {"ahead"})
    assert one.values == two.values == {"clusters/web": 1, "clusters/api": 2}
    version = live.run(lambda: made.store.restore(**ANN)).version
    assert version == 2
    status = live.run(lambda: made.store.wait(version, 10))
    assert status.waiting_for(version) == []
    assert (made.status().behind, one.follower.behind) == ("", "")
    assert one.values == {"clusters/web": 1, "clusters/api": 2}
    assert one.families.bus_config_behind.labels().value == 0
    # No resource differs, so nothing is to be done about any of them.
    assert one.had[-1].changed == frozenset()


def test_what_it_had_when_it_last_ran_is_kept_too(made: Made, live: Live) -> None:
    """A sidecar that starts at a store that was emptied has its configuration from disk, and offers it."""
    made.apply(web=1)
    known = Stored.load("".join(live.run(made.store.read).dump()))
    made.server.flush()
    one = made.sidecar("a", known=known)
    live.run(lambda: one.follower.acknowledge(known))
    live.run(one.follower.ready)
    until(lambda: made.status().offer == "a")
    assert one.values == {"clusters/web": 1}
    live.run(lambda: made.store.restore(node="a", **ANN))
    live.until(lambda: one.follower.stored.version == 2)


def test_a_server_that_stands_still_and_goes_on(made: Made, live: Live) -> None:
    one = made.sidecar()
    made.apply(web=1)
    one.has(web=1)
    made.server.pause()
    try:
        live.until(lambda: one.counted("bus_reports", "failed") > 0)
        assert one.values == {"clusters/web": 1}
    finally:
        made.server.resume()
    live.until(lambda: made.redis.connected)
    made.apply(web=2)
    one.has(web=2)


def test_what_changed_while_it_was_away_is_read_on_its_return(
    made: Made, live: Live, redis_servers: Any, redis: Any, subscriber: Any
) -> None:
    """Killed under way and restarted with what it had: only what changed is read."""
    server = redis_servers("--appendonly", "yes", "--appendfsync", "always")
    there = Made(live, server, redis, subscriber)
    one = there.sidecar(beat=60)
    there.apply(web=1, api=1)
    one.has(web=1, api=1)
    server.kill()
    live.until(lambda: not there.redis.connected and not there.subscriber.connected)
    server.start()
    other = ConfigStore(redis(server.url), KEYS, clock=live.reactor)
    live.run(lambda: other.apply({"clusters/web": Draft(2)}, **ANN))
    one.has(web=2, api=1)
    assert one.had[-1].changed == {"clusters/web"}
    live.run(one.follower.stop)


def test_a_canary_that_is_refused_is_over_for_all(made: Made, live: Live) -> None:
    nodes = sorted("abcde", key=place)
    sidecars = [made.sidecar(each) for each in nodes]
    made.apply(web=1)
    for each in sidecars:
        each.has(web=1)
    until(lambda: len(made.status().sidecars) == 5)
    sidecars[0].refuses = lambda stored: [Nack("clusters/web", stored.version, "no")] if stored.canary else []
    made.apply(Trial(0.2), web=2)
    for each in sidecars:
        live.until(lambda each=each: each.follower.stored.version == 3 and each.follower.stored.canary is None)
    kinds = [each.kind for each in live.run(made.store.history)]
    assert kinds == ["rollback", "canary", "apply"]


def test_reports_come_often_while_there_is_a_canary(made: Made, live: Live) -> None:
    """From its begin on, and not only from the next beat."""
    one = made.sidecar(beat=60)
    live.until(lambda: made.subscriber.connected)
    live.run(one.follower.ready)
    made.apply(Trial(0.5), web=1)
    live.until(lambda: one.follower.stored.canary is not None)
    sent = one.counted("bus_reports", "sent")
    live.until(lambda: one.counted("bus_reports", "sent") > sent + 1)


def test_who_may_not_subscribe_polls(made: Made, live: Live, redis: Any, subscriber: Any) -> None:
    made.server("ACL", "SETUSER", "mesh", "on", ">secret", "~*", "+@all", "resetchannels")
    url = f"redis://mesh:secret@{made.server.address}/0"
    one = Sidecar(redis(url), subscriber(url, wait=False), live, "a")
    live.run(one.follower.start)
    made.sidecars.append(one)
    made.apply(web=1)
    one.has(web=1)
    made.apply(web=2)
    one.has(web=2)


def test_who_stops_is_seen_no_more(made: Made, live: Live) -> None:
    one = made.sidecar()
    until(lambda: made.status().sidecars)
    live.run(one.follower.stop)
    assert made.status().sidecars == ()
    live.run(one.follower.stop)


def test_who_cannot_say_farewell_stops_all_the_same(made: Made, live: Live) -> None:
    one = made.sidecar()
    live.run(one.follower.ready)
    made.server.pause()
    try:
        live.run(one.follower.stop)
    finally:
        made.server.resume()


def test_what_its_owner_raises_does_not_end_it(made: Made, live: Live) -> None:
    one = made.sidecar()
    live.run(one.follower.ready)

    def refuses(stored: Stored) -> list[Nack]:
        raise RuntimeError("a bug of the owner")

    one.refuses = refuses
    made.apply(web=1)
    live.until(lambda: one.follower.stored.version == 1)
    one.refuses = lambda stored: []
    made.apply(web=2)
    live.until(lambda: one.follower.reporter.taken.version == 2)
