"""Every test of `net` runs on plain asyncio and on uvloop."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Coroutine, Iterator

import pytest

from tests.tls_front import Authority

try:
    import uvloop
except ImportError:
    uvloop = None

Run = Callable[[Coroutine[Any, Any, Any]], Any]
LIMIT = 30.0


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """``run(coroutine())`` runs it on a loop of its own; what a callback raises fails the test."""
    if request.param == "uvloop" and uvloop is None:
        pytest.skip("uvloop is not installed")
    loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
    raised: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: raised.append(context))
    run.raised = raised  # type: ignore[attr-defined]

    def go(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return loop.run_until_complete(asyncio.wait_for(coroutine, LIMIT))

    yield go
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert raised == []


@pytest.fixture
def raised() -> list[dict[str, Any]]:
    """What callbacks of this test's loop raised; a test that expects some takes it out."""
    return run.raised  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))
