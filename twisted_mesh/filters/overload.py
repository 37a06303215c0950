"""What the filters against overload have in common: `admission`, `adaptive` and `shed`."""

from __future__ import annotations

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.resp_kinds import ERROR
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.metrics import Cell
from twisted_mesh.policy.redis_errors import OK, UNAVAILABLE, verdict
from twisted_mesh.redis_call import RedisReply

# Cut short by the upstream or its absence: it does not do what it is asked.
FAILED = frozenset(
    {
        Kind.BAD_REPLY,
        Kind.CLOSED,
        Kind.CONNECT_FAILED,
        Kind.CONNECT_TIMEOUT,
        Kind.NO_ENDPOINT,
        Kind.RESET,
        Kind.TIMEOUT,
        Kind.TRY_TIMEOUT,
    }
)


def cells(env: Env) -> tuple[Cell, Cell]:
    """Return the counters of calls that a filter has admitted and refused."""
    family = Families(env.metrics).overload_calls
    return family.labels(env.name, "admitted"), family.labels(env.name, "refused")


def went(call: Call, reply: Reply) -> tuple[int, int]:
    """Return how much of a call has gone well, and how much came to nothing as the upstream can do nothing.

    Of Redis the commands are counted.  What only says that no more can be written for now (OOM) is neither.
    """
    if reply.status >= 500:
        return 0, call.count
    if not isinstance(reply, RedisReply) or not reply.errors or not isinstance(reply.body, bytes):
        return call.count, 0
    body = reply.body
    said = [verdict(body[start:end]) for kind, start, end in reply.answers if kind == ERROR]
    return call.count - len(said) + said.count(OK), said.count(UNAVAILABLE)


def overloaded(detail: str, status: int) -> MeshError:
    """Return the refusal of a call; it was sent nowhere, but who tries again at once makes it worse."""
    return MeshError(Kind.OVERLOADED, detail, status=status)
