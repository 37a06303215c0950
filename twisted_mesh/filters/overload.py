"""What the filters against overload have in common: `admission`, `adaptive` and `shed`."""

from __future__ import annotations

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.metrics import Cell

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


def overloaded(detail: str, status: int) -> MeshError:
    """Return the refusal of a call; it was sent nowhere, but who tries again at once makes it worse."""
    return MeshError(Kind.OVERLOADED, detail, status=status)
