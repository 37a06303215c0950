"""Which limit of a cluster counts a connection."""

from __future__ import annotations

from typing import Any

from tests.upstream.fakes import FakeEnv
from twisted_mesh.model.resilience import Limits
from twisted_mesh.upstream.connection_limits import ConnectionLimits


def limits(env: Any = None, **values: Any) -> ConnectionLimits:
    return ConnectionLimits("api", Limits.model_validate(values), env or FakeEnv())


def test_nothing_is_limited() -> None:
    env: Any = FakeEnv()
    for each in (ConnectionLimits("api", None, env), limits(priorities={"low": {"calls": 1}})):
        assert each.of(0) is each.of(None) is each.of(-1) is each.describe() is None
        assert each.label(-1) == ""
    assert "None" in repr(each)


def test_a_priority_without_a_limit_of_its_own_is_among_the_others() -> None:
    both = limits(connections=5, priorities={"low": {"connections": 2}, "high": {"calls": 7}})
    assert both.of(1) is both.of(0) is both.of(None) is both.others
    low = both.of(-1)
    assert low is not None and low.limit == 2
    assert [both.label(each) for each in (-1, 0, 1, None)] == [", priority low", "", "", ""]


def test_another_configuration_counts_on_by_its_own_limits() -> None:
    env = FakeEnv()
    old = limits(env, connections=5, priorities={"low": {"connections": 2}})
    new = limits(env, priorities={"low": {"connections": 3}, "high": {"connections": 1}})
    new.adopt(old)
    assert new.of(-1) is old.of(-1) and new.others is old.others
    new.configure(Limits.model_validate({"priorities": {"low": {"connections": 3}, "high": {"connections": 1}}}))
    assert new.describe() == {
        "open": 0,
        "limit": None,
        "waiting": 0,
        "priorities": {
            "low": {"open": 0, "limit": 3, "waiting": 0},
            "high": {"open": 0, "limit": 1, "waiting": 0},
        },
    }
