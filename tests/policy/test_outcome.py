"""What the end of a try says of its endpoint."""

from __future__ import annotations

from typing import Optional

import pytest

from twisted_mesh.errors import Kind
from twisted_mesh.policy.outcome import Outcome, outcome


@pytest.mark.parametrize(
    "status, kind, expected",
    [
        (200, None, Outcome.SUCCESS),
        (0, None, Outcome.SUCCESS),
        (101, None, Outcome.SUCCESS),
        (404, None, Outcome.SUCCESS),
        (429, None, Outcome.REFUSED),
        (500, None, Outcome.ERROR),
        (501, None, Outcome.ERROR),
        (502, None, Outcome.GATEWAY),
        (503, None, Outcome.GATEWAY),
        (504, None, Outcome.GATEWAY),
        (0, Kind.CONNECT_FAILED, Outcome.FAILURE),
        (0, Kind.CONNECT_TIMEOUT, Outcome.FAILURE),
        (0, Kind.RESET, Outcome.FAILURE),
        (0, Kind.CLOSED, Outcome.FAILURE),
        (0, Kind.BAD_REPLY, Outcome.FAILURE),
        (0, Kind.TIMEOUT, Outcome.FAILURE),
        (0, Kind.OVERFLOW, Outcome.UNKNOWN),
        (0, Kind.CLIENT_GONE, Outcome.UNKNOWN),
        (0, Kind.INTERNAL, Outcome.UNKNOWN),
        (0, Kind.TOO_LARGE, Outcome.UNKNOWN),
    ],
)
def test_an_end_is_judged(status: int, kind: Optional[Kind], expected: Outcome) -> None:
    assert outcome(status, kind) is expected


def test_what_speaks_against_an_endpoint() -> None:
    assert [each for each in Outcome if each.bad] == [Outcome.ERROR, Outcome.GATEWAY, Outcome.FAILURE]
