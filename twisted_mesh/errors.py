"""What can go wrong with a call, who caused it and whether trying again is safe.

Three kinds of trouble have a type of their own:

- `MeshError`: a call failed.  It carries what happened (`Kind`), who caused it (`Origin`) and whether the same call
  may be sent again.  Each adapter owns one table from `Kind` to what its clients see.
- `Cancelled`: a call is being stopped from outside.  It is a `BaseException`, so that ``except Exception`` in a filter
  cannot swallow it.
- `ConfigError`: a configuration was refused, with every problem found and where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Origin(Enum):
    """Who caused an error."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    MESH = "mesh"


class Kind(Enum):
    """What happened to a call.  The value is the long name; `FLAGS` has the short response flag."""

    NO_ROUTE = "no_route"
    NO_CLUSTER = "no_cluster"
    NO_ENDPOINT = "no_endpoint"
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "upstream_reset"
    CLOSED = "upstream_closed"
    BAD_REPLY = "upstream_protocol_error"
    TIMEOUT = "upstream_timeout"
    TRY_TIMEOUT = "try_timeout"
    DEADLINE = "deadline_passed"
    OVERFLOW = "overflow"
    OVERLOADED = "overloaded"
    MAINTENANCE = "maintenance"
    RETRY_LIMIT = "retry_limit"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    REQUEST_TIMEOUT = "request_timeout"
    STREAM_IDLE = "stream_idle_timeout"
    MAX_DURATION = "max_duration"
    CLIENT_GONE = "client_gone"
    DENIED = "denied"
    UNAUTHENTICATED = "unauthenticated"
    RATE_LIMITED = "rate_limited"
    FAULT = "fault_injected"
    UPGRADE_REFUSED = "upgrade_refused"
    DRAINING = "draining"
    INTERNAL = "internal"


# The response flags that an access log shows, after Envoy's substitution_formatter documentation; INT and MM are ours.
FLAGS: dict[Kind, str] = {
    Kind.NO_ROUTE: "NR",
    Kind.NO_CLUSTER: "NC",
    Kind.NO_ENDPOINT: "UH",
    Kind.CONNECT_FAILED: "UF",
    Kind.CONNECT_TIMEOUT: "UF",
    Kind.RESET: "UR",
    Kind.CLOSED: "UC",
    Kind.BAD_REPLY: "UPE",
    Kind.TIMEOUT: "UT",
    Kind.TRY_TIMEOUT: "UT",
    Kind.DEADLINE: "DE",
    Kind.OVERFLOW: "UO",
    Kind.OVERLOADED: "OM",
    Kind.MAINTENANCE: "MM",
    Kind.RETRY_LIMIT: "URX",
    Kind.BAD_REQUEST: "DPE",
    Kind.TOO_LARGE: "DPE",
    Kind.REQUEST_TIMEOUT: "DPE",
    Kind.STREAM_IDLE: "SI",
    Kind.MAX_DURATION: "DT",
    Kind.CLIENT_GONE: "DC",
    Kind.DENIED: "UAEX",
    Kind.UNAUTHENTICATED: "UAEX",
    Kind.RATE_LIMITED: "RL",
    Kind.FAULT: "FI",
    Kind.UPGRADE_REFUSED: "DPE",
    Kind.DRAINING: "LR",
    Kind.INTERNAL: "INT",
}


class MeshError(Exception):
    """A call failed.

    :param kind: what happened.
    :param detail: one line for people: what, where.
    :param origin: who caused it.
    :param retryable: the same call may be sent again without doing anything twice.  Whoever raises the error knows
        best and says so: a failed connect always is, a reset before any byte of a reply only when the request could
        not have had an effect twice, and nothing is once the reply head went downstream.
    :param status: for a filter that wants a certain HTTP status; 0 leaves it to the adapter's table.
    :param headers: more fields for the answer of protocols that have them.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        origin: Origin = Origin.MESH,
        retryable: bool = False,
        status: int = 0,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{kind.value}: {detail}" if detail else kind.value)
        self.kind = kind
        self.detail = detail
        self.origin = origin
        self.retryable = retryable
        self.status = status
        self.headers = headers

    @property
    def flag(self) -> str:
        """The short response flag of this error, as an access log shows it."""
        return FLAGS[self.kind]


class Cancelled(BaseException):
    """The call is being stopped from outside; let it through, and clean up in ``finally``.

    `kind` says why: `Kind.CLIENT_GONE`, `Kind.TIMEOUT` (the route's timeout ran out; the timeout filter turns it into
    a `MeshError`), `Kind.DEADLINE` (the caller's, likewise), `Kind.DRAINING`, or another kind that a
    sweep found; `status` is as in `MeshError`.  `queued` is set where the call waited for its turn in the sidecar
    itself: then it says nothing of an endpoint.
    """

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.detail = detail
        self.status = 0
        self.queued = False


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a configuration: where it stands and what would be right.

    `file`, `line` and `column` count from 1; line 0 means that no position is known (a value from the bus).
    `path` is written as a user would, ``listeners.edge.routes[2].timeout``.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(Exception):
    """A configuration was refused.  `problems` holds every one that was found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(each) for each in problems))
        self.problems = problems
