"""What the end of a try says of the endpoint that it was sent to."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from twisted_mesh.errors import Kind

# The endpoint, or the way to it, is the cause.
_FAILURES = frozenset(
    {
        *(Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT, Kind.RESET, Kind.CLOSED, Kind.BAD_REPLY),
        *(Kind.TIMEOUT, Kind.TRY_TIMEOUT),
    }
)
_GATEWAY = frozenset({502, 503, 504})
_TOO_MANY = 429


class Outcome(Enum):
    """`SUCCESS`; `REFUSED`: a 429, it has had enough; `ERROR`: a 5xx, `GATEWAY`: one of 502, 503 and 504;
    `FAILURE`: no answer (no connection, a reset, no HTTP, no reply in time); `UNKNOWN`: nothing was learnt, as the
    client went away or waits no longer, or the sidecar itself had no room.  `bad` says whether it speaks against the
    endpoint."""

    bad: bool

    SUCCESS = "success"
    REFUSED = "refused"
    ERROR = "error"
    GATEWAY = "gateway error"
    FAILURE = "failure"
    UNKNOWN = "unknown"


SUCCESS, REFUSED, UNKNOWN = Outcome.SUCCESS, Outcome.REFUSED, Outcome.UNKNOWN
for _each in Outcome:
    # An attribute and no property: it is read for every call.
    _each.bad = _each in (Outcome.ERROR, Outcome.GATEWAY, Outcome.FAILURE)


def outcome(status: int, kind: Optional[Kind]) -> Outcome:
    """Return what became of a try.

    :param status: the reply's, 0 for protocols that have none.
    :param kind: what went wrong in place of a reply; None if there was one.
    """
    if kind is not None:
        return Outcome.FAILURE if kind in _FAILURES else UNKNOWN
    if status < 500:
        return REFUSED if status == _TOO_MANY else SUCCESS
    return Outcome.GATEWAY if status in _GATEWAY else Outcome.ERROR
