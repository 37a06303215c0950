"""Which calls count as failed."""

from __future__ import annotations

import pytest

from twisted_mesh.bus.tally import Tally
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


@pytest.mark.parametrize(
    ("code", "flag", "failed"),
    [
        ("2xx", "-", False),
        ("4xx", "-", False),
        ("5xx", "-", True),
        ("5xx", "UF", True),
        ("4xx", "NR", True),
        ("-", "UF", True),
        ("-", "DC", False),
        ("4xx", "DPE", False),
        ("5xx", "LR", True),
        ("-", "LR", False),
    ],
)
def test_what_blames_the_mesh_or_an_upstream_has_failed(code: str, flag: str, failed: bool) -> None:
    families = Families(Registry())
    tally = Tally(families)
    families.calls.labels("http", "edge", "r", "c", code, flag).value += 3
    tally.look()
    assert (tally.calls, tally.errors) == (3, 3 if failed else 0)


def test_counts_never_go_back() -> None:
    """Series leave with the routes that they counted."""
    families = Families(Registry())
    tally = Tally(families)
    families.calls.labels("http", "edge", "old", "c", "5xx", "UF").value += 10
    tally.look()
    families.registry.forget("route", "old")
    tally.look()
    families.calls.labels("http", "edge", "new", "c", "5xx", "UF").value += 4
    tally.look()
    assert repr(tally) == "<Tally 14 of 14 failed>"
