"""Fixtures for tests that need processes and sockets; what they start, they stop."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from hypothesis import settings

from tests.servers import Live, Server
from tests.support import HttpUpstream, Mesh, TcpUpstream, start_mesh

# Examples for each property: a few at every run, the same ones each time; many with HYPOTHESIS_PROFILE=deep.
settings.register_profile("fast", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session", autouse=True)
def _state() -> Iterator[None]:
    """What sidecars keep goes with the tests, and not to where real ones have theirs."""
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="mesh-state-", ignore_cleanup_errors=True) as directory:
        os.environ["XDG_STATE_HOME"] = directory
        yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    """``mesh(config, arguments=[...])`` starts a `twistd -n mesh`; see `tests.support.start_mesh`."""
    started: list[Mesh] = []

    def start(config: Any, **options: Any) -> Mesh:
        options.setdefault("directory", tmp_path)
        one = start_mesh(config, **options)
        started.append(one)
        return one

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def http_upstream() -> Iterator[Callable[..., HttpUpstream]]:
    """``http_upstream(name, respond)`` starts an `HttpUpstream`."""
    started: list[HttpUpstream] = []

    def start(*arguments: Any, **options: Any) -> HttpUpstream:
        started.append(HttpUpstream(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def tcp_upstream() -> Iterator[Callable[..., TcpUpstream]]:
    """``tcp_upstream(talk)`` starts a `TcpUpstream`."""
    started: list[TcpUpstream] = []

    def start(*arguments: Any, **options: Any) -> TcpUpstream:
        started.append(TcpUpstream(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def redis_servers() -> Iterator[Callable[..., Server]]:
    """``redis_servers(*options, password=...)`` starts a real server; see `tests.servers.Server`."""
    started: list[Server] = []

    def start(*arguments: Any, **options: Any) -> Server:
        wait = options.pop("wait", True)
        started.append(Server(*arguments, **options))
        return started[-1].start(wait)

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def redis_server(redis_servers: Callable[..., Server]) -> Server:
    """A real server, empty and without a password."""
    return redis_servers()


@pytest.fixture(scope="session")
def _live() -> Iterator[Live]:
    one = Live()
    yield one
    one.stop()


@pytest.fixture
def live(_live: Live) -> Live:
    """A reactor that runs in a thread: ``live.run(coroutine)``."""
    return _live
