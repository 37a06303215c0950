"""How a sidecar stands to the store.  What the status shows is tested with the reports."""

from __future__ import annotations

import pytest

from twisted_mesh.bus.status import Counted, Report, Sidecar, Status, plain, step_of, who_of
from twisted_mesh.bus.stored import Nack
from twisted_mesh.policy.selector import Who


@pytest.mark.parametrize(
    ("theirs", "version", "epoch", "newest", "step"),
    [
        ("1-x", 5, "1-x", 5, "in step"),
        ("1-x", 4, "1-x", 5, "behind"),
        ("1-x", 6, "1-x", 5, "ahead"),
        ("", 0, "1-x", 5, "behind"),
        ("", 0, "", 0, "in step"),
        ("1-x", 5, "", 0, "ahead"),
        ("1-x", 5, "6-y", 6, "behind"),
        ("1-x", 5, "5-y", 9, "ahead"),
        ("1-x", 5, "rubbish", 9, "ahead"),
    ],
)
def test_steps(theirs: str, version: int, epoch: str, newest: int, step: str) -> None:
    assert step_of(theirs, version, epoch, newest) == step


def test_plain_values_for_programs() -> None:
    report = Report("a", "web", "z", {"v": "1"}, nacks=(Nack("clusters/x", 2, "no"),))
    status = Status(1.5, "1-x", 2, "", "", None, Counted(), (Sidecar(report, "behind", 1.0, 2.0),))
    found = plain(status)
    assert found["sidecars"][0]["report"]["nacks"] == ({"name": "clusters/x", "version": 2, "reason": "no"},)
    assert (found["sidecars"][0]["step"], found["version"], found["canary"]) == ("behind", 2, None)
    assert who_of(report) == Who("a", "web", "z", {"v": "1"})
