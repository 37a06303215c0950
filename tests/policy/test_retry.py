"""Which failures are worth another try."""

from __future__ import annotations

from typing import Union

import pytest

from twisted_mesh.errors import Kind
from twisted_mesh.policy.retry import RetryRule

DEFAULT = ("connect_failed", "reset")


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("kind", [Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT])
def test_nothing_was_sent_so_anything_is_tried_again(kind: Kind, idempotent: bool) -> None:
    assert RetryRule(DEFAULT).after_error(kind, True, idempotent)
    assert not RetryRule(["reset", "retriable_4xx"]).after_error(kind, True, idempotent)


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSED])
def test_a_reset_is_tried_again_where_that_is_safe(kind: Kind) -> None:
    rule = RetryRule(DEFAULT)
    assert rule.after_error(kind, False, True)
    assert not rule.after_error(kind, False, False)
    assert rule.after_error(kind, True, False)
    assert not RetryRule(["connect_failed"]).after_error(kind, True, True)


@pytest.mark.parametrize(
    ("when", "retried"),
    [
        ("5xx", {500, 502, 503, 504, 599}),
        ("gateway_error", {502, 503, 504}),
        ("retriable_4xx", {409}),
        (429, {429}),
        ("reset", set()),
    ],
)
def test_statuses(when: Union[str, int], retried: set[int]) -> None:
    rule = RetryRule([when])
    asked = (200, 400, 409, 429, 500, 502, 503, 504, 599)
    assert {each for each in asked if rule.after_status(each, True)} == retried
    assert not any(rule.after_status(each, False) for each in asked)


@pytest.mark.parametrize("when", ["5xx", "gateway_error"])
def test_what_the_client_would_see_as_5xx_counts_as_such(when: str) -> None:
    rule = RetryRule([when])
    assert all(rule.after_error(each, False, True) for each in (Kind.RESET, Kind.CLOSED, Kind.BAD_REPLY))
    assert not rule.after_error(Kind.BAD_REPLY, False, False)
    assert rule.after_error(Kind.CONNECT_FAILED, True, False)


@pytest.mark.parametrize("kind", [Kind.NO_ENDPOINT, Kind.OVERFLOW, Kind.TIMEOUT, Kind.INTERNAL, Kind.TOO_LARGE])
def test_other_errors_are_final(kind: Kind) -> None:
    assert not RetryRule([*DEFAULT, "5xx", "gateway_error", 503]).after_error(kind, True, True)


@pytest.mark.parametrize("when", [[], ["connect_failed"], ["5xx"]])
def test_a_try_whose_time_ran_out_needs_no_condition(when: list[str]) -> None:
    """That is what the time of a try is for."""
    assert RetryRule(when).after_error(Kind.TRY_TIMEOUT, False, True)
    assert RetryRule(when).after_error(Kind.TRY_TIMEOUT, True, False)
    assert not RetryRule(when).after_error(Kind.TRY_TIMEOUT, False, False)


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(
        ValueError, match="no retry condition 'resets'; there are 5xx, busy, cluster_down, connect_failed"
    ):
        RetryRule(["resets"])


def test_errors_of_redis_are_known_by_their_first_words() -> None:
    assert RetryRule(["loading", "read_only", "reset"]).refusals == {b"LOADING", b"READONLY"}
    assert RetryRule(DEFAULT).refusals == frozenset()


def test_it_says_what_it_is_for() -> None:
    assert repr(RetryRule(["reset", 503])) == "<RetryRule ['upstream_closed', 'upstream_reset'] statuses=[503]>"
