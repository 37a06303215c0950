"""What the tests with a mesh's Redis share."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.e2e.bus import Operator
from tests.servers import Live, Server


@pytest.fixture
def operator(live: Live, redis_server: Server) -> Iterator[Operator]:
    """Somebody with `meshctl` at the Redis of the test."""
    one = Operator(live, redis_server)
    yield one
    one.stop()
