"""Which failures are worth another try."""

from __future__ import annotations

from typing import Union

import pytest

from twisted_mesh.errors import Kind
from twisted_mesh.policy.retry import IDEMPOTENT, RetryRule

DEFAULT = ("connect_failed", "reset")


@pytest.mark.parametrize("operation", ["GET", "POST", "CONNECT"])
@pytest.mark.parametrize("kind", [Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT])
def test_nothing_was_sent_so_anything_is_tried_again(kind: Kind, operation: str) -> None:
    assert RetryRule(DEFAULT).after_error(kind, True, operation)
    assert not RetryRule(["reset", "retriable_4xx"]).after_error(kind, True, operation)


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSED])
def test_a_reset_is_tried_again_where_that_is_safe(kind: Kind) -> None:
    rule = RetryRule(DEFAULT)
    assert rule.after_error(kind, False, "GET")
    assert not rule.after_error(kind, False, "POST")
    assert rule.after_error(kind, True, "POST")
    assert not RetryRule(["connect_failed"]).after_error(kind, True, "GET")


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
    assert {each for each in asked if rule.after_status(each, "GET")} == retried
    assert not any(rule.after_status(each, "POST") for each in asked)


@pytest.mark.parametrize("when", ["5xx", "gateway_error"])
def test_what_the_client_would_see_as_5xx_counts_as_such(when: str) -> None:
    rule = RetryRule([when])
    assert all(rule.after_error(each, False, "GET") for each in (Kind.RESET, Kind.CLOSED, Kind.BAD_REPLY))
    assert not rule.after_error(Kind.BAD_REPLY, False, "POST")
    assert rule.after_error(Kind.CONNECT_FAILED, True, "POST")


@pytest.mark.parametrize("kind", [Kind.NO_ENDPOINT, Kind.OVERFLOW, Kind.TIMEOUT, Kind.INTERNAL, Kind.TOO_LARGE])
def test_other_errors_are_final(kind: Kind) -> None:
    assert not RetryRule([*DEFAULT, "5xx", "gateway_error", 503]).after_error(kind, True, "GET")


def test_idempotent_methods_are_those_of_rfc_9110() -> None:
    assert {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"} == IDEMPOTENT


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="no retry condition 'resets'; there are 5xx, connect_failed"):
        RetryRule(["resets"])


def test_it_says_what_it_is_for() -> None:
    assert repr(RetryRule(["reset", 503])) == "<RetryRule ['upstream_closed', 'upstream_reset'] statuses=[503]>"
