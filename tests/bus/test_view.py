"""What is known of a set."""

from __future__ import annotations

import pytest

from twisted_mesh.bus.leases import Whole
from twisted_mesh.bus.view import Suspect, View, read_change


def text(name: str, id: str, record: bytes) -> str:
    return record.decode("ascii")


def test_taking_all_of_a_set() -> None:
    """What Redis has replaces what was known; the ids of what is different come back."""
    view: View[str] = View("web", text)
    view.remember({"old": "1", "same": "2"})
    records = {"same": b"2", "new": b"3", "bad": b"\xff"}
    changed = view.take(Whole(0, 7, records, {}, {"new": 9000}, "together"))
    assert changed == {"old", "new", "bad"}
    assert view.records == {"same": "2", "new": "3"}
    assert view.suspects == {"new": Suspect(9.0, "together")}
    assert set(view.refused) == {"bad"}
    assert repr(view) == "<View web stale at 7: 2 records, 1 suspects>"


def test_the_end_of_a_suspicion_is_a_change() -> None:
    """Also where the record is the same."""
    view: View[str] = View("web", text)
    view.take(Whole(0, 1, {"a": b"1"}, {}, {"a": 9000}, "together"))
    assert view.take(Whole(0, 2, {"a": b"1"}, {}, {}, "")) == {"a"}


@pytest.mark.parametrize("message", [b"", b"{}", b'{"v":"1","op":"set"}', b"[1]"])
def test_what_is_no_change(message: bytes) -> None:
    """Is a ValueError."""
    with pytest.raises(ValueError):
        read_change(message)


def test_operations_of_a_later_release_only_count() -> None:
    """An old sidecar goes on with the next change; a poll does not find it behind."""
    view: View[str] = View("web", text)
    view.take(Whole(0, 1, {"a": b"1"}, {}, {}, ""))
    assert list(view.apply(read_change(b'{"v":2,"op":"paint","ids":["a"]}'))) == ["a"]
    assert (view.version, view.records) == (2, {"a": "1"})


def test_what_redis_has_lost_has_vanished() -> None:
    """Another birth, or a version from before: nobody has taken away what is missing.  Else somebody has."""
    view: View[str] = View("web", text)
    view.take(Whole(0, 5, {"a": b"1", "b": b"2"}, {}, {}, "", "1"))
    view.take(Whole(0, 9, {"a": b"1"}, {}, {}, "", "1"))
    assert view.vanished == frozenset()
    view.take(Whole(0, 20, {}, {}, {}, "", "2"))
    assert view.vanished == {"a"}
    view.apply(read_change(b'{"v":21,"op":"set","id":"c","record":3}'))
    assert view.vanished == frozenset()
    view.take(Whole(0, 20, {}, {}, {}, "", "2"))
    assert view.vanished == {"c"}
    view.take(Whole(0, 0, {}, {}, {}, "", ""))
    assert view.vanished == frozenset()
