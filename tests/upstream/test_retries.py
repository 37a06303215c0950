"""Places for the retries of a cluster."""

from __future__ import annotations

from typing import Any

from tests.upstream.fakes import FakeEnv
from twisted_mesh.model.resilience import Limits
from twisted_mesh.upstream.retries import Places, Retries


def test_there_are_so_many_places() -> None:
    env: Any = FakeEnv()
    places = Places("api", 2, env)
    assert [places.take() for _ in range(3)] == [True, True, False]
    assert env.count("cluster_retries_active", "api") == 2
    assert repr(places) == "<Places 2 of 2>"
    places.give()
    assert places.take()
    places.give()
    places.give()
    assert env.count("cluster_retries_active", "api") == 0
    assert not Places("api", 0, env).take()


def test_a_priority_with_limits_of_its_own_has_its_own_places() -> None:
    env: Any = FakeEnv()
    limits = Limits.model_validate({"retries": 1, "priorities": {"high": {"retries": 2}, "low": {}}})
    retries = Retries("api", limits, env)
    high, default, low = (retries.places(each) for each in (1, 0, -1))
    assert high is not None and high.limit == 2
    assert default is not None and default.limit == 1
    assert low is None
    assert default.take() and high.take()
    assert env.count("cluster_retries_active", "api") == 2
    assert retries.describe() == {"active": 1, "limit": 1, "priorities": {"high": {"active": 1, "limit": 2}}}
    assert repr(retries) == "<Retries <Places 1 of 1>>"


def test_without_limits_there_may_be_any_number() -> None:
    env: Any = FakeEnv()
    assert Retries("api", None, env).places(0) is None
    assert Retries("api", Limits(), env).places(0) is None
    assert Retries("api", Limits(), env).describe() is None
    only = Retries("api", Limits.model_validate({"priorities": {"low": {"retries": 3}}}), env)
    assert only.describe() == {"active": None, "limit": None, "priorities": {"low": {"active": 0, "limit": 3}}}
    assert repr(Retries("api", None, env)) == "<Retries any number>"
