"""What sidecars say of a version; waiting for it is in test_apply.py."""

from __future__ import annotations

from twisted_mesh.bus.status import Counted, Report, Sidecar, Status, step_of
from twisted_mesh.bus.stored import Nack
from twisted_mesh.cli.writing import awaited


def status(*reports: Report) -> Status:
    found = tuple(Sidecar(each, step_of(each.epoch, each.version, "5-x", 9), 1.0, 9.0) for each in reports)
    return Status(0.0, "5-x", 9, "", "", None, Counted(), found)


def test_all_have_it() -> None:
    found = awaited(status(Report("one", epoch="5-x", version=9)), 9, ["clusters/web"])
    assert (found.good, found.sidecars, found.lines()) == (True, 1, [])


def test_who_has_not() -> None:
    found = awaited(status(Report("one", epoch="5-x", version=8, trouble="Redis is away")), 9, ["clusters/web"])
    assert found.lines() == ["one has not taken it: it has version 8; Redis is away"]


def test_a_refusal_counts_if_it_is_of_what_was_changed() -> None:
    old = Report("one", epoch="5-x", version=9, nacks=(Nack("clusters/old", 3, "no"),))
    ours = Report("two", epoch="5-x", version=9, nacks=(Nack("clusters/web@edge", 9, "no\x1b"),))
    found = awaited(status(old, ours), 9, ["clusters/web@edge"])
    assert found.lines() == ["two refuses clusters/web@edge: no\ufffd"]
