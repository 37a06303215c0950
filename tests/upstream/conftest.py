"""Groups of Redis servers that are not there, for the tests of what is sent where."""

from __future__ import annotations

import pytest

from tests.upstream.redis_servers import Upstream, body
from tests.upstream.redis_told import RedisWorld, shards_world, slots_world


@pytest.fixture
def shards() -> RedisWorld:
    """Three servers, each with its part of the keys."""
    return shards_world()


@pytest.fixture
def slots() -> RedisWorld:
    """A Redis Cluster."""
    return slots_world()


@pytest.fixture
def upstream() -> Upstream:
    """One server, whose first connection has answered a call."""
    made = Upstream()
    first = made.send("GET warm")
    made.introduced()
    assert made.seen() == b"*2\r\n$3\r\nGET\r\n$4\r\nwarm\r\n"
    made.say(b"$-1\r\n")
    assert body(first) == b"$-1\r\n"
    return made
