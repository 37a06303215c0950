"""One set that is followed: messages in any order, readings between them, and what comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.bus.followed import EARLY, Followed, FollowerCells
from twisted_mesh.bus.leases import Changes, Whole
from twisted_mesh.bus.view import View
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def number(name: str, id: str, record: bytes) -> int:
    """Records of these tests are whole numbers."""
    return int(record)


class Subject:
    def __init__(self) -> None:
        self.view: View[int] = View("web", number)
        self.metrics = Registry()
        self.followed = Followed(self.view, "service", FollowerCells(Families(self.metrics), "service"), [])
        self.told: list[frozenset[str]] = []
        self.followed.listeners.append(lambda view: self.told.append(view.touched))

    def whole(self, version: int = 10, **records: int) -> bool:
        return self.followed.got(whole(version, **records), True)


def whole(version: int, **records: int) -> Whole:
    return Whole(0, version, {id: str(value).encode() for id, value in records.items()}, {}, {}, "")


def change(version: int, id: str, value: int) -> bytes:
    return json.dumps({"v": version, "op": "set", "id": id, "record": value}).encode()


def gone(version: int, *ids: str) -> bytes:
    return json.dumps({"v": version, "op": "del", "ids": ids, "why": "bye"}).encode()


def test_the_next_change_is_applied() -> None:
    """A message that is next in turn is all that is needed."""
    subject = Subject()
    subject.whole(10, a=1)
    assert not subject.followed.hear(change(11, "b", 2))
    assert not subject.followed.hear(gone(12, "a"))
    assert subject.view.records == {"b": 2}
    assert subject.view.version == 12
    assert subject.told == [frozenset("a"), frozenset("b"), frozenset("a")]


def test_what_is_known_is_ignored() -> None:
    """A message that comes twice, or late, changes nothing."""
    subject = Subject()
    subject.whole(10, a=1)
    subject.followed.hear(change(11, "a", 2))
    assert not subject.followed.hear(change(11, "a", 2))
    assert not subject.followed.hear(change(9, "a", 7))
    assert subject.view.records == {"a": 2}
    assert len(subject.told) == 2


def test_a_gap_wants_a_reading_and_is_counted() -> None:
    """Where a message is missing nothing is guessed."""
    subject = Subject()
    subject.whole(10, a=1)
    assert subject.followed.hear(change(12, "a", 3))
    assert subject.view.records == {"a": 1}
    gaps: Any = subject.metrics.family("twisted_mesh_bus_gaps_total")
    assert [cell.value for _, cell in gaps.series()] == [1]


def test_messages_wait_for_a_reading() -> None:
    """What comes while the set is read is applied to what was read, as far as it is newer."""
    subject = Subject()
    subject.followed.reading = True
    for version in (11, 12, 13):
        assert not subject.followed.hear(change(version, "a", version))
    assert not subject.whole(12, a=12)
    assert (subject.view.version, subject.view.records) == (13, {"a": 13})


def test_a_flood_during_a_reading_is_read_again() -> None:
    """Messages are kept up to a bound."""
    subject = Subject()
    subject.whole(10)
    subject.followed.reading = True
    for version in range(11, 12 + EARLY):
        subject.followed.hear(change(version, "a", 1))
    assert subject.followed.again


def test_the_changes_that_were_missed_are_applied() -> None:
    """A reading may give just these."""
    subject = Subject()
    subject.whole(10, a=1)
    assert not subject.followed.got(Changes(0, 12, [change(11, "b", 2), gone(12, "a")]), True)
    assert subject.view.records == {"b": 2}
    assert subject.told[-1] == frozenset("ab")


@pytest.mark.parametrize("listed", [[], [(10, "a")], [(12, "b")], [(13, "b"), (12, "c")], [b"{"]])
def test_where_a_change_was_not_kept_all_of_the_set_is_read(listed: list[Any]) -> None:
    """Other programs write too, and may forget it, or keep what is none."""
    subject = Subject()
    subject.whole(10, a=1)
    changes = [each if isinstance(each, bytes) else change(each[0], each[1], 7) for each in listed]
    assert subject.followed.got(Changes(0, 12, changes), True)
    assert subject.followed.fresh
    assert not subject.whole(12, a=1, b=2)
    assert (subject.view.version, subject.view.records) == (12, {"a": 1, "b": 2})


def test_equal_records_are_no_news() -> None:
    """Reading everything again after a reconnect tells only what is different."""
    subject = Subject()
    subject.whole(10, a=1, b=2)
    subject.whole(20, a=1, b=3)
    assert subject.told == [frozenset("ab"), frozenset("b")]
    subject.whole(20, a=1, b=3)
    assert len(subject.told) == 2


def test_what_cannot_be_read_leaves_what_was_there() -> None:
    """A bad record takes down neither its predecessor nor the others, and is counted once."""
    subject = Subject()
    subject.whole(10, a=1, b=2)
    subject.followed.hear(b'{"v":11,"op":"set","id":"a","record":"nonsense"}')
    assert subject.view.records == {"a": 1, "b": 2}
    assert "a" in subject.view.refused
    subject.followed.hear(change(12, "a", 5))
    assert not subject.view.refused
    assert subject.followed.hear(b"no change at all")
    refused: Any = subject.metrics.family("twisted_mesh_bus_refused_records_total")
    assert [cell.value for _, cell in refused.series()] == [2]


def test_suspects_and_their_end() -> None:
    """They are records with a reason and an end, until they renew or go."""
    subject = Subject()
    subject.whole(10, a=1, b=2, c=3)
    subject.followed.hear(b'{"v":11,"op":"suspect","ids":["a","b","x"],"until":5000,"why":"2 of 3"}')
    assert {id: (each.until, each.why) for id, each in subject.view.suspects.items()} == {
        "a": (5.0, "2 of 3"),
        "b": (5.0, "2 of 3"),
    }
    subject.followed.hear(b'{"v":12,"op":"clear","ids":["a"]}')
    subject.followed.hear(gone(13, "b"))
    assert not subject.view.suspects
    assert set(subject.view.records) == {"a", "c"}


def test_going_down_is_told_once() -> None:
    """A view says since when it may be stale."""
    subject = Subject()
    subject.whole(10, a=1)
    subject.followed.down(100.0)
    subject.followed.down(200.0)
    assert (subject.view.synced, subject.view.stale_since) == (False, 100.0)
    assert len(subject.told) == 2
    subject.whole(10, a=1)
    assert subject.view.synced
    assert subject.view.stale_since is None


def test_one_who_raises_does_not_keep_the_others_from_hearing() -> None:
    """Whoever follows a set is on its own."""
    subject = Subject()

    def broken(view: View[int]) -> None:
        raise RuntimeError("a bug")

    subject.followed.listeners.insert(0, broken)
    subject.whole(10, a=1)
    assert subject.told == [frozenset("a")]


def test_who_comes_later_hears_what_is_known() -> None:
    """At once, and of everything."""
    subject = Subject()
    subject.whole(10, a=1, b=2)
    heard: list[frozenset[str]] = []
    subject.followed.add(lambda view: heard.append(view.touched))
    assert heard == [frozenset("ab")]


Step = st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 9)))


@given(st.lists(Step, max_size=30), st.data())
def test_whatever_gets_lost_the_view_ends_right(steps: list[tuple[str, Any]], data: Any) -> None:
    """Messages are lost, doubled and late; each time the view says so, reading brings it to the truth."""
    subject = Subject()
    subject.whole(100)
    truth: dict[str, int] = {}
    version = 100
    sent: list[bytes] = []
    for id, value in steps:
        version += 1
        if value is None:
            truth.pop(id, None)
            sent.append(gone(version, id))
        else:
            truth[id] = value
            sent.append(change(version, id, value))
        for message in data.draw(st.lists(st.sampled_from(sent[-3:]), max_size=2)):
            if subject.followed.hear(message):
                subject.whole(version, **truth)
    if subject.view.version != version:
        # The poll finds it.
        subject.whole(version, **truth)
    assert subject.view.records == truth
