"""What a lost connection means for the call that was on it."""

from __future__ import annotations

from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError, Origin


class StaleConnection(MeshError):
    """A kept connection ended before any byte of a reply came: the request may be sent again on another."""


def why_lost(call: Call, address: str, *, clean: bool, answering: bool, uses: int) -> MeshError:
    """Return what to tell a call that waits for its reply.

    :param clean: the endpoint closed, and did not reset.
    :param answering: some bytes of a reply had come.
    :param uses: how many calls the connection has had, this one included.
    """
    kind, done = (Kind.CLOSED, "closed") if clean else (Kind.RESET, "reset")
    if answering:
        detail = f"{address} {done} the connection within the head of its answer"
        return MeshError(kind, detail, origin=Origin.UPSTREAM)
    replayable = isinstance(call.body, bytes) or call.body.replayable
    detail = f"{address} {done} the connection before any byte of an answer"
    if uses > 1 and replayable:
        kept = f"{detail}; it had been kept from an earlier request"
        return StaleConnection(kind, kept, origin=Origin.UPSTREAM, retryable=True)
    safe = replayable and call.idempotent
    return MeshError(kind, detail, origin=Origin.UPSTREAM, retryable=safe)
