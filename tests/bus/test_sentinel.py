"""Following the master that three Sentinels choose."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest

from tests.redis_groups import Watched
from tests.servers import Live
from tests.support import until
from twisted_mesh.bus.client import BusError, Redis, Subscriber
from twisted_mesh.model.redis import Sentinels

MakeRedis = Callable[..., Redis]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    made = Watched(password="pw")
    yield made
    made.stop()


def writes(live: Live, one: Redis) -> bool:
    """Whether a write is taken, at whatever server it is."""
    try:
        live.run(lambda: one.command("INCR", "mesh:{shop}:n"))
    except BusError:
        return False
    return True


def test_an_ordered_switch_is_followed_by_both_connections(
    live: Live, watched: Watched, redis: MakeRedis, subscriber: Callable[..., Subscriber]
) -> None:
    """Nothing hangs and nothing times out here: the Sentinels say it, and both move at once."""
    one, two = redis(watched.url), subscriber(watched.url)
    got: list[bytes] = []
    live.run(lambda: two.subscribe("c", got.append))
    assert one.server == two.server == watched.servers[0].address
    watched.sentinels[0]("SENTINEL", "FAILOVER", "main")
    new = watched.servers[1].address
    live.until(lambda: one.server == two.server == new and one.connected and two.connected, f"{one!r} {two!r}")
    until(lambda: writes(live, one))
    live.run(lambda: one.command("PUBLISH", "c", "x"))
    live.until(lambda: got == [b"x"])


@pytest.mark.parametrize("way", ["pause", "kill"])
def test_a_master_that_is_gone_is_left(live: Live, redis: MakeRedis, way: str) -> None:
    """Paused, it keeps its connections, and answers nothing; the time for answers here is far too long to help."""
    group = Watched()
    try:
        one = redis(group.url, timeout=60.0)
        old = next(each for each in group.servers if each.address == one.server)
        getattr(old, way)()
        live.until(lambda: one.connected and one.server not in ("", old.address), repr(one))
        until(lambda: writes(live, one))
        if way == "pause":
            # It comes back and holds itself for the master until a Sentinel tells it better; nobody returns to it.
            old.resume()
            assert until(lambda: old("ROLE"))
            assert writes(live, one)
            assert one.server != old.address
    finally:
        group.stop()


def test_a_sentinel_that_hangs_and_one_that_is_gone_are_passed_over(
    live: Live, watched: Watched, redis: MakeRedis
) -> None:
    """Two of three are away, and the third one is asked."""
    first, second, third = watched.sentinels
    first.pause()
    try:
        url = watched.url.replace(second.address, "127.0.0.1:1")
        one = redis(url)
        assert one.connected
        assert third.address in url
    finally:
        first.resume()


def test_what_sentinels_do_not_know_is_said(live: Live, watched: Watched, redis: MakeRedis) -> None:
    unknown = redis(watched.url.replace("/main/", "/other/"), wait=False)
    live.until(lambda: "no Sentinel names the master other: redis" in unknown.trouble, unknown.trouble)
    assert "no master is called other" in unknown.trouble
    gone = redis("sentinel://127.0.0.1:1/main", wait=False)
    live.until(lambda: gone.trouble.endswith("redis 127.0.0.1:1: connection refused"), gone.trouble)


def test_sentinels_may_want_a_password_of_their_own(live: Live, redis: MakeRedis) -> None:
    group = Watched(replicas=0, sentinels=1, sentinel_password="s3cret")
    try:
        refused: Any = redis(group.url, wait=False)
        live.until(lambda: "NOAUTH" in refused.trouble, refused.trouble)
        assert redis(group.url, sentinel=Sentinels(password="s3cret")).connected
    finally:
        group.stop()
