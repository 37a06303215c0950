"""The script that counts shared limits does what the policy does, at a real server."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import Conversation, Refused, Server
from twisted_mesh.bus.limit_scripts import JOIN, LEAVE, TAKE
from twisted_mesh.policy.gcra import Gcra

PREFIX = "mesh:{shop}:"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def redis(server: Server) -> Iterator[Conversation]:
    with server.connect() as one:
        yield one


@pytest.fixture(autouse=True)
def _empty(redis: Conversation) -> None:
    redis("FLUSHALL")


def take(redis: Conversation, *arguments: Any) -> list[int]:
    answer: list[int] = redis("EVAL", TAKE, 1, PREFIX, "api", *arguments)
    return answer[1:]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12), st.integers(-5, 5)), max_size=20),
    st.sampled_from([1, 3, 10]),
)
def test_it_is_the_policy(redis: Conversation, asked: list[tuple[int, int, int]], burst: int) -> None:
    """With units that take an hour, so that no time passes meanwhile."""
    redis("FLUSHALL")
    gcra, arrival = Gcra(1, 3600.0, burst), 0.0
    for more, least, debt in asked:
        want = least + more
        arrival, grant = gcra.grant(arrival, 1e6, want, least, debt)
        granted, remaining, reset, retry = take(redis, "all", repr(3600e6), burst, want, least, debt)
        # A moment of the server's clock is a part of a unit: what is full is not any more at once.
        assert granted == grant.granted
        assert remaining == grant.remaining
        assert reset / 1e6 == pytest.approx(grant.reset_after, abs=60.0)
        assert retry / 1e6 == pytest.approx(grant.retry_after, abs=60.0)


def test_a_key_is_there_as_long_as_something_is_used(redis: Conversation) -> None:
    take(redis, "source=10.0.0.1", repr(1e6), 10, 5, 1, 0)
    key = PREFIX + "limit:api:key:source=10.0.0.1"
    assert 4000 < redis("PTTL", key) <= 5001
    take(redis, "source=10.0.0.1", repr(1e6), 10, 0, 0, -5)
    assert redis("EXISTS", key) == 0


def test_several_keys_are_asked_for_at_once(redis: Conversation) -> None:
    one, other = ("a", repr(1e9), 5, 3, 1, 0), ("b", repr(1e9), 5, 7, 1, 0)
    assert take(redis, *one, *other)[:6:4] == [3, 5]


def test_a_clock_that_was_ahead_does_not_close_a_limit_for_long(redis: Conversation) -> None:
    redis("SET", PREFIX + "limit:api:key:all", "9e15")
    granted, remaining, reset, retry = take(redis, "all", repr(1e6), 10, 1, 1, 0)
    assert (granted, remaining) == (0, 0)
    assert reset <= 10e6 and retry <= 1e6


def test_what_is_no_number_is_refused(redis: Conversation) -> None:
    redis("LPUSH", PREFIX + "limit:api:key:all", "x")
    with pytest.raises(Refused, match="WRONGTYPE"):
        take(redis, "all", repr(1e6), 10, 1, 1, 0)


def test_who_shares_a_limit_is_counted(redis: Conversation) -> None:
    def join(who: str, lease: int = 60_000) -> Any:
        return redis("EVAL", JOIN, 1, PREFIX, who, lease, "api", "web")

    assert join("a") == [1, 1]
    assert join("b") == [2, 2]
    assert join("b") == [2, 2]
    redis("EVAL", LEAVE, 1, PREFIX, "a", "api")
    assert join("b") == [1, 2]
    redis("ZADD", PREFIX + "limit:api:sidecars", 1, "dead")
    assert join("b") == [1, 2]
    assert 0 < redis("PTTL", PREFIX + "limit:api:sidecars") <= 60_000
    assert redis("EVAL", TAKE, 1, PREFIX, "web", "all", repr(1e6), 10, 1, 1, 0)[0] == 2
