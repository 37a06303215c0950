"""What the filters against overload have in common."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import Kind
from twisted_mesh.filters.overload import FAILED, cells, overloaded
from twisted_mesh.testing import Env


def test_calls_are_counted_by_the_place_of_the_filter() -> None:
    env = Env()
    admitted, refused = cells(env)
    admitted.value += 2
    refused.value += 1
    name = "twisted_mesh_filter_overload_calls_total"
    assert (env.count(name, env.name, "admitted"), env.count(name, env.name, "refused")) == (2, 1)


def test_a_refusal_was_sent_nowhere_and_says_why() -> None:
    error = overloaded("3 calls in flight, 3 may be now", 429)
    assert (error.kind, error.status, error.detail) == (Kind.OVERLOADED, 429, "3 calls in flight, 3 may be now")
    assert error.flag == "OM"
    assert not error.retryable


@pytest.mark.parametrize("kind", [Kind.OVERLOADED, Kind.OVERFLOW, Kind.DENIED, Kind.RATE_LIMITED, Kind.CLIENT_GONE])
def test_what_the_mesh_or_its_clients_do_is_no_failure_of_the_upstream(kind: Kind) -> None:
    assert kind not in FAILED


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TIMEOUT, Kind.CONNECT_FAILED, Kind.NO_ENDPOINT])
def test_what_gives_no_answer_has_failed(kind: Kind) -> None:
    assert kind in FAILED
