"""How many calls of this sidecar ended, and how many of them failed: what a canary is judged by."""

from __future__ import annotations

from twisted_mesh.families import Families
from twisted_mesh.labels import NONE

# What the client did, or what happens in every drain: a configuration is not to blame for it.
_NOT_FAILED = frozenset([NONE, "DC", "DPE", "LR"])


class Tally:
    """Counts that never go back, whatever series leave the metrics.

    A call has failed if its status is 5xx, or if its response flag blames the mesh or an upstream: no route is such a
    failure too, since a bad configuration shows by it.

    :ivar calls: calls that ended, up to the last `look`.
    :ivar errors: those of them that failed.
    """

    __slots__ = ("_calls", "_errors", "_families", "calls", "errors")

    def __init__(self, families: Families) -> None:
        self._families = families
        self._calls = 0
        self._errors = 0
        self.calls = 0
        self.errors = 0

    def __repr__(self) -> str:
        return f"<Tally {self.errors} of {self.calls} failed>"

    def look(self) -> None:
        """Count what came since the last time."""
        calls = errors = 0
        for labels, cell in self._families.calls.series():
            code, flag = labels[-2:]
            calls += int(cell.value)
            if code == "5xx" or flag not in _NOT_FAILED:
                errors += int(cell.value)
        self.calls += max(0, calls - self._calls)
        self.errors += max(0, errors - self._errors)
        self._calls, self._errors = calls, errors
