"""What is said of a call that a filter spoilt."""

from __future__ import annotations

from typing import Any

from twisted_mesh.adapters.blame import count_failure, culprit, filter_failed, filter_stuck
from twisted_mesh.call import Call
from twisted_mesh.chain import Driver
from twisted_mesh.headers import Headers
from twisted_mesh.park import Parked
from twisted_mesh.testing import Env


def raised_in(module: str) -> BaseException:
    """An error that came out of a module of this name."""
    space = {"__name__": module}
    exec("def fail():\n    raise ValueError('oops')\n", space)
    try:
        space["fail"]()  # type: ignore[operator]
    except ValueError as error:
        return error
    raise AssertionError


def test_culprit() -> None:
    """It is the innermost filter of the traceback."""
    assert culprit(raised_in("twisted_mesh.filters.quota")) == "quota"
    assert culprit(raised_in("somewhere.else")) == "unknown"


def test_filter_failed() -> None:
    """One log line and one count."""
    env = Env()
    call = Call("tcp", "db", "CONNECT", Headers())
    filter_failed(env, call, raised_in("twisted_mesh.filters.quota"))
    count_failure(env, ValueError())
    assert len(env.logged) == 1
    assert "unexpected in a filter" in env.logged[0]
    assert env.count("twisted_mesh_filter_errors_total", "quota") == 1
    assert env.count("twisted_mesh_filter_errors_total", "unknown") == 1


def test_filter_stuck() -> None:
    """One log line that says where the filter waits, and one count for the innermost filter."""
    env = Env()
    space = {"__name__": "twisted_mesh.filters.quota", "waits": Parked}
    exec("async def ask(call):\n    await waits()\n", space)

    async def outer(call: Call) -> Any:
        return await space["ask"](call)  # type: ignore[operator]

    driver = Driver(Call("http", "edge", "GET", Headers()), lambda *outcome: None)
    driver.start(outer)
    filter_stuck(env, driver, "too long")
    [line] = env.logged
    assert "too long; it waits at tests.adapters.test_blame:" in line
    assert "twisted_mesh.filters.quota:2 in ask, twisted_mesh.park:" in line
    assert env.count("twisted_mesh_filter_errors_total", "quota") == 1
