"""Groups of Redis servers that are not there, for the tests of what is sent where."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import RedisWorld, shards_world, slots_world


@pytest.fixture
def shards() -> RedisWorld:
    """Three servers, each with its part of the keys."""
    return shards_world()


@pytest.fixture
def slots() -> RedisWorld:
    """A Redis Cluster."""
    return slots_world()
