from __future__ import annotations

from twisted_mesh.policy.slot_map import SLOTS, SlotMap


def full() -> SlotMap[str]:
    slots: SlotMap[str] = SlotMap()
    slots.assign([("a", [(0, 9), (20, 29)]), ("b", [(10, 19), (30, SLOTS - 1)])])
    return slots


def test_nobody_has_anything_at_first() -> None:
    slots: SlotMap[str] = SlotMap()
    assert not slots.complete
    assert slots.everyone() == []


def test_owners_have_their_ranges() -> None:
    slots = full()
    assert slots.complete
    assert slots.everyone() == ["a", "b"]
    assert [slots.owners[each] for each in (0, 9, 10, 19, 20, 29, 30, SLOTS - 1)] == list("aabbaabb")


def test_assigning_tells_what_has_changed() -> None:
    slots = full()
    assert slots.assign([("a", [(0, 9), (20, 29)]), ("b", [(10, 19), (30, SLOTS - 1)])]) == []
    assert slots.assign([("a", [(0, 9), (20, 28)]), ("b", [(10, 19), (29, SLOTS - 2)])]) == [29, SLOTS - 1]
    assert not slots.complete


def test_one_slot_moves() -> None:
    slots = full()
    assert slots.move(5, "b")
    assert not slots.move(5, "b")
    assert slots.owners[5] == "b"
    assert slots.move(6, "c")
    assert slots.everyone() == ["a", "b", "c"]


def test_the_last_slot_of_each_owner() -> None:
    slots: SlotMap[str] = SlotMap()
    slots.assign([("a", [(0, 99), (200, 299)]), ("b", [(100, 199)])])
    assert slots.last_slots() == {"a": 299, "b": 199}
    version = slots.version
    assert not slots.move(5, "a")
    assert slots.version == version
    assert slots.move(0, "b")
    assert slots.version != version
    assert slots.last_slots() == {"a": 299, "b": 199}
