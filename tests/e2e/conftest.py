"""What the end-to-end tests share: servers that a module asks again and again, sidecars, and who is at a mesh's Redis."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.e2e.bus import Operator
from tests.e2e.support import AioServer, Edge, ScriptedUpstream, start_edge
from tests.servers import Live, Server


@pytest.fixture(scope="module")
def app() -> Iterator[AioServer]:
    """An upstream that others wrote."""
    one = AioServer()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def script() -> Iterator[ScriptedUpstream]:
    """An upstream whose answers the tests write."""
    one = ScriptedUpstream()
    yield one
    one.upstream.stop()


@pytest.fixture
def new_edge(tmp_path: Path) -> Iterator[Any]:
    """``new_edge(clusters, routes, ...)`` starts a sidecar as `start_edge` does."""
    started: list[Edge] = []

    def start(*args: Any, **options: Any) -> Edge:
        started.append(start_edge(tmp_path, *args, **options))
        return started[-1]

    yield start
    for each in started:
        each.mesh.stop()


@pytest.fixture
def operator(live: Live, redis_server: Server) -> Iterator[Operator]:
    """Somebody with `meshctl` at the Redis of the test."""
    one = Operator(live, redis_server)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def simulated(request: pytest.FixtureRequest) -> Any:
    """The simulation that the module names as its `SIMULATION`."""
    return importlib.import_module(request.module.SIMULATION)
