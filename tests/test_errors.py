"""What an error carries."""

from __future__ import annotations

import pytest

from twisted_mesh.errors import FLAGS, Cancelled, ConfigError, Kind, MeshError, Origin, Problem


def test_every_kind_has_a_flag() -> None:
    assert set(FLAGS) == set(Kind)
    assert MeshError(Kind.RATE_LIMITED).flag == "RL"


def test_an_error_is_not_to_be_sent_again_unless_somebody_says_so() -> None:
    error = MeshError(Kind.RESET)
    assert (error.retryable, error.origin, error.status) == (False, Origin.MESH, 0)


def test_the_text_of_an_error() -> None:
    assert str(MeshError(Kind.CONNECT_FAILED, "127.0.0.1:1")) == "connect_failed: 127.0.0.1:1"
    assert str(MeshError(Kind.CONNECT_FAILED)) == "connect_failed"


def test_a_cancel_is_no_exception() -> None:
    assert not issubclass(Cancelled, Exception)
    with pytest.raises(Cancelled) as caught:
        raise Cancelled(Kind.TIMEOUT, "why")
    assert (caught.value.kind, caught.value.detail) == (Kind.TIMEOUT, "why")


def test_a_problem_says_where_it_stands() -> None:
    assert str(Problem("mesh.yaml", 3, 5, "admin", "no")) == "mesh.yaml:3:5: admin: no"
    assert str(Problem("mesh.yaml", 3, 5, "", "no")) == "mesh.yaml:3:5: no"
    assert str(Problem("bus", 0, 0, "admin", "no")) == "bus: admin: no"


def test_problems_sort_as_they_stand_in_the_file() -> None:
    late, early = Problem("a", 10, 1, "x", "m"), Problem("a", 9, 7, "x", "m")
    assert sorted([late, early]) == [early, late]


def test_a_config_error_shows_every_problem() -> None:
    problems = [Problem("a", 1, 1, "x", "one"), Problem("a", 2, 1, "y", "two")]
    error = ConfigError(problems)
    assert error.problems == problems
    assert str(error) == "a:1:1: x: one\na:2:1: y: two"
