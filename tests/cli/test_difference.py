"""What would change."""

from __future__ import annotations

from twisted_mesh.bus.resource import Draft, decode, encode
from twisted_mesh.cli.difference import differences, same


def test_what_is_added_changed_and_deleted() -> None:
    there = {
        name: decode(name, b'{"version":3}\n' + encode(name, Draft(value)))
        for name, value in (("clusters/a", {"x": 1}), ("clusters/b", {"x": 1}), ("clusters/c", {"x": 1}))
    }
    wanted = {
        "clusters/a": Draft({"x": 1}),
        "clusters/b": Draft({"x": 2}),
        "clusters/c": None,
        "clusters/d": Draft({}),
        "clusters/e": None,
    }
    found = differences(there, wanted)
    assert [(each.name, each.what, each.version) for each in found] == [
        ("clusters/b", "changed", 3),
        ("clusters/c", "deleted", 3),
        ("clusters/d", "added", 0),
    ]


def test_for_whom_it_is_counts() -> None:
    assert same(Draft(1, {}), Draft(1, None))
    assert not same(Draft(1, {"zone": "a"}), Draft(1, None))
    assert not same(Draft(1), None)
    assert same(None, None)


def test_what_cannot_be_read_is_changed_by_whatever_replaces_it() -> None:
    [one] = differences({"clusters/a": decode("clusters/a", b"nonsense")}, {"clusters/a": Draft({})})
    assert one.what == "changed"
    assert "\x1b" not in one.text()
