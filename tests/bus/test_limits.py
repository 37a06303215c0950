"""Rate limits that sidecars share, as one sees them."""

from __future__ import annotations

import gc
import random
from typing import Any, Callable, Iterator

import pytest

from tests.servers import Live, Server
from twisted_mesh.bus.client import Redis
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.limits import AT_ONCE, Limits
from twisted_mesh.policy.gcra import Gcra
from twisted_mesh.policy.rate_lease import Ask

GCRA = Gcra(10, 3600.0, 10)
Make = Callable[..., Limits]


@pytest.fixture
def made(live: Live, redis: Callable[..., Redis], redis_server: Server) -> Iterator[Make]:
    """``made(who)`` returns the limits of one sidecar, which were started."""
    all_of_them: list[Limits] = []

    def make(who: str, client: Any = None) -> Limits:
        client = client or redis(redis_server.url)

        def begin() -> Limits:
            one = Limits(client, Keys("shop"), who, clock=live.reactor, random=random.Random(1), every=0.1)
            one.start()
            return one

        all_of_them.append(live.run(begin))
        return all_of_them[-1]

    yield make
    for each in all_of_them:
        live.run(each.stop)


def test_they_count_together(live: Live, made: Make) -> None:
    one, other = (live.run(lambda each=each: made_limit(each)) for each in (made("a"), made("b")))
    assert live.run(lambda: one.ask("all", GCRA, Ask(4, 1, 0))).granted == 4
    grant = live.run(lambda: other.ask("all", GCRA, Ask(8, 1, 0)))
    assert (grant.granted, grant.remaining) == (6, 0)
    assert 3500 < grant.reset_after <= 3600
    assert live.run(lambda: other.ask("other", GCRA, Ask(1, 1, 0))).granted == 1


class Member:
    """Applies a limit."""


MEMBER = Member()


def made_limit(limits: Limits) -> Any:
    limit = limits.limit("api")
    limit.join(MEMBER)
    return limit


def test_each_knows_how_many_they_are(live: Live, made: Make) -> None:
    limits = [made(each) for each in "abc"]
    held = [live.run(lambda each=each: made_limit(each)) for each in limits]
    live.until(lambda: [each.sidecars for each in held] == [3, 3, 3], "three that share it")
    assert repr(held[0]) == "<SharedLimit api of 3 sidecars>" and repr(limits[0]) == "<Limits ['api']>"
    live.run(limits[0].stop)
    live.until(lambda: held[1].sidecars == 2, "one has left")
    # And one whose limit is not in force any more.
    held.pop()
    gc.collect()
    live.until(lambda: not list(limits[2]._known), "nobody holds it")
    assert live.run(lambda: made_limit(limits[1])) is held[1]


def test_who_applies_it_no_more_is_not_counted(live: Live, made: Make) -> None:
    one, two = made("a"), made("b")
    first, second, other = Member(), Member(), Member()
    held, others = live.run(lambda: one.limit("api")), live.run(lambda: two.limit("api"))
    for limit, member in ((held, first), (held, second), (others, other)):
        live.run(lambda limit=limit, member=member: limit.join(member))
    live.until(lambda: others.sidecars == 2, "both")
    live.run(lambda: held.leave(first))
    assert live.run(lambda: held.applied)
    live.run(lambda: held.leave(second))
    assert not live.run(lambda: held.applied)
    live.until(lambda: others.sidecars == 1, "one of them")


def test_what_comes_back_can_be_had_again(live: Live, made: Make) -> None:
    limits = made("a")
    limit = live.run(lambda: made_limit(limits))
    keys = [f"k{each}" for each in range(AT_ONCE + 1)]
    for each in keys[:2] + keys[-1:]:
        assert live.run(lambda each=each: limit.ask(each, GCRA, Ask(10, 1, 0))).granted == 10
    live.run(lambda: limit.give_back(GCRA, [(each, 3) for each in keys]))
    for each in keys[:2] + keys[-1:]:
        assert live.run(lambda each=each: limit.ask(each, GCRA, Ask(10, 1, 0))).granted == 3


def test_without_redis_a_question_fails_at_once(
    live: Live, made: Make, redis: Callable[..., Redis], redis_server: Server
) -> None:
    client = redis(redis_server.url)
    limits = made("a", client)
    limit = live.run(lambda: made_limit(limits))
    assert limit.connected
    redis_server.kill()
    live.until(lambda: not limit.connected, "Redis is away")
    with pytest.raises(BusError):
        live.run(lambda: limit.ask("all", GCRA, Ask(1, 1, 0)))
    live.run(lambda: limit.give_back(GCRA, [("all", 1)]))
    redis_server.start()
    live.until(lambda: limit.connected, "Redis is back")
    assert live.run(lambda: limit.ask("all", GCRA, Ask(1, 1, 0))).granted == 1


def test_a_server_that_does_not_allow_it_is_said_once(live: Live, made: Make, redis_server: Server) -> None:
    redis_server("ACL", "SETUSER", "default", "-zadd")
    limits = made("a")
    limit = live.run(lambda: made_limit(limits))
    live.until(lambda: "NOPERM" in limits._trouble or "permission" in limits._trouble, "it is refused")
    assert limit.sidecars == 1
    redis_server("ACL", "SETUSER", "default", "+zadd")
    live.until(lambda: not limits._trouble, "it is allowed again")
