"""Which failures are worth another try."""

from __future__ import annotations

from typing import Sequence, Union

from twisted_mesh.errors import Kind

# The conditions that stand for statuses.
STATUSES: dict[str, frozenset[int]] = {
    "5xx": frozenset(range(500, 600)),
    "gateway_error": frozenset({502, 503, 504}),
    "retriable_4xx": frozenset({409}),
}
# Those for what a Redis server answers when it has not done what it was asked, by the first word of the error.
REFUSALS: dict[str, bytes] = {
    "loading": b"LOADING",
    "busy": b"BUSY",
    "cluster_down": b"CLUSTERDOWN",
    "master_down": b"MASTERDOWN",
    "try_again": b"TRYAGAIN",
    "read_only": b"READONLY",
}
CONDITIONS = frozenset({"connect_failed", "reset", *STATUSES, *REFUSALS})

# Nothing was sent: it can be done again whatever it is, and has put no load on anybody.
UNSENT = frozenset({Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT})
_CUT = frozenset({Kind.RESET, Kind.CLOSED})


class RetryRule:
    """Says whether a failure is one of those to try again after.

    Conditions:

    - ``connect_failed``: no connection was made.  Nothing was sent, so any operation may be tried again.
    - ``reset``: the connection ended before the reply head.  Tried again if the error says that it is safe, or the
      operation is idempotent.
    - ``5xx``, ``gateway_error`` (502, 503, 504), ``retriable_4xx`` (409) or a number: the reply's status, for
      idempotent operations only.  The first two also stand for the failures that the client would be told as such
      a status: no connection, a reset, an answer that is no HTTP (as in Envoy).
    - ``loading``, ``busy``, ``cluster_down``, ``master_down``, ``try_again``, ``read_only``: errors of a Redis server.
      It has done nothing, so any command may be tried again.

    A try that took longer than a try may is always one of them, for idempotent operations: that is what the time of a
    try is for.

    `statuses` are those that are tried again after, `refusals` the first words of such errors of Redis.
    """

    __slots__ = ("_kinds", "refusals", "statuses")

    def __init__(self, when: Sequence[Union[str, int]]) -> None:
        """
        :raises ValueError: an unknown condition.
        """
        unknown = [each for each in when if isinstance(each, str) and each not in CONDITIONS]
        if unknown:
            raise ValueError(f"no retry condition {unknown[0]!r}; there are {', '.join(sorted(CONDITIONS))}")
        statuses = [STATUSES.get(each, frozenset()) if isinstance(each, str) else {each} for each in when]
        self.statuses: frozenset[int] = frozenset().union(*statuses)
        self.refusals = frozenset(REFUSALS[each] for each in when if isinstance(each, str) and each in REFUSALS)
        self._kinds: frozenset[Kind] = frozenset({Kind.TRY_TIMEOUT})
        if "connect_failed" in when:
            self._kinds |= UNSENT
        if "reset" in when:
            self._kinds |= _CUT
        if "5xx" in when or "gateway_error" in when:
            self._kinds |= UNSENT | _CUT | {Kind.BAD_REPLY}

    def __repr__(self) -> str:
        kinds = sorted(each.value for each in self._kinds - {Kind.TRY_TIMEOUT})
        return f"<RetryRule {kinds} statuses={sorted(self.statuses)}>"

    def after_error(self, kind: Kind, retryable: bool, idempotent: bool) -> bool:
        """Whether to try again after an error that came in place of a reply head.

        :param retryable: whoever raised the error knows that nothing can be done twice.
        :param idempotent: the operation may be done twice.
        """
        return kind in self._kinds and (retryable or idempotent or kind in UNSENT)

    def after_status(self, status: int, idempotent: bool) -> bool:
        """Whether to try again after a reply of this status."""
        return idempotent and status in self.statuses
