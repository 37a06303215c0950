"""How many of neighbouring commands may travel together, where routes tell commands apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Hashable, Sequence

from twisted_mesh.codec.resp_request_scan import Found

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_rows import Rows
    from twisted_mesh.policy.apart import Apart


def runs_of(found: Sequence[Found], rows: Rows, apart: Apart) -> list[int]:
    """Return for each of these commands how many from there on may travel together; it is one of them."""
    runs: list[int] = []
    count, last = 0, None
    for name, key, *_ in reversed(found):
        row = rows.known.get(name) or rows.find(name)
        own: Hashable = None if row is None else apart(row.command.name, key)
        count = count + 1 if own == last else 1
        last = own
        runs.append(count)
    runs.reverse()
    return runs
