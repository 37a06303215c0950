"""The scripts that read the configuration store, run by another program."""

from __future__ import annotations

import json
from typing import Any

from tests.bus.by_hand import ByHand, pairs, parts, rest
from twisted_mesh.bus.read_scripts import BEFORE, CHANGES, HISTORY, STATUS
from twisted_mesh.bus.store_scripts import APPLY


def apply(writer: ByHand, *changes: Any) -> None:
    version = int(writer.redis("GET", "mesh:{shop}:config:version") or 0)
    said, _ = writer.store(APPLY, f"t{version + 1}", "ann", "", "0", "", *changes)
    assert said == b"written"


def page(writer: ByHand, life: str, since: int, last: Any = ("", ""), records: int = 100, began: Any = "") -> Any:
    return writer.store(CHANGES, life, since, *last, records, 1 << 20, began)


def test_pages_come_in_the_order_of_the_changes_and_end(writer: ByHand) -> None:
    for at in range(5):
        apply(writer, f"clusters/c{at}", "", rest(at))
    found: list[tuple[str, int]] = []
    last: Any = ("", "")
    more = 1
    while more:
        state, life, version, more, canary, some = page(writer, "*", 0, last, records=2, began=5)
        assert (state, life, version, canary) == (b"ok", b"1-t1", 5, None)
        assert len(some) <= 2 * 3
        found += [(some[at].decode(), parts(some[at + 2].decode())[2]) for at in range(0, len(some), 3)]
        last = (some[-2], some[-3])
    assert found == [(f"clusters/c{at}", at) for at in range(5)]


def test_what_changes_while_pages_are_read_comes_again(writer: ByHand) -> None:
    for at in range(3):
        apply(writer, f"clusters/c{at}", "", rest(at))
    *_, some = page(writer, "*", 0, records=2, began=3)
    apply(writer, "clusters/c0", "", rest("new"))
    state, _, version, more, _, some = page(writer, "1-t1", 0, (some[-2], some[-3]), began=3)
    assert (state, version, more) == (b"ok", 4, 0)
    assert [each.decode() for each in some[::3]] == ["clusters/c2", "clusters/c0"]


def test_only_what_changed_since_is_read_and_what_is_gone_has_no_record(writer: ByHand) -> None:
    apply(writer, "clusters/a", "", rest(1), "clusters/b", "", rest(1))
    apply(writer, "clusters/a", "", "")
    *_, some = page(writer, "1-t1", 1)
    assert some == [b"clusters/a", b"2", None]
    *_, some = page(writer, "1-t1", 2)
    assert some == []


def test_who_knows_another_life_or_too_little_or_too_much_is_told(writer: ByHand) -> None:
    writer.redis("HSET", "mesh:{shop}:config:history", "limit", 2)
    for at in range(5):
        apply(writer, "clusters/web", "", rest(at))
    assert page(writer, "1-other", 1) == [b"other", b"1-t1", 5]
    assert page(writer, "1-t1", 9) == [b"back", b"1-t1", 5]
    assert page(writer, "1-t1", 1) == [b"gone", b"1-t1", 5]
    assert page(writer, "1-t1", 3)[0] == b"ok"


def test_a_page_is_bounded_in_bytes_and_never_empty(writer: ByHand) -> None:
    apply(writer, "clusters/a", "", rest("x" * 5000), "clusters/b", "", rest(1))
    state, _, _, more, _, some = writer.store(CHANGES, "*", 0, "", "", 100, 10, "")
    assert (state, more, len(some)) == (b"ok", 1, 3)


def test_the_history_the_newest_last(writer: ByHand) -> None:
    for at in range(3):
        apply(writer, "clusters/web", "", rest(at))
    floor, limit, entries = writer.store(HISTORY, 2)
    assert (floor, limit) == (b"0", b"100")
    assert [json.loads(each)["version"] for each in entries] == [2, 3]


def test_what_there_was_before(writer: ByHand) -> None:
    apply(writer, "clusters/a", "", rest(1))
    apply(writer, "clusters/a", "", rest(2), "clusters/b", "", rest(1))
    state, life, version, before = writer.store(BEFORE, 1)
    assert (state, life, version) == (b"ok", b"1-t1", 2)
    assert {name: each and parts(each.decode())[2] for name, each in pairs(before).items()} == {
        "clusters/a": 1,
        "clusters/b": b"",
    }
    assert writer.store(BEFORE, 0)[0] == b"ok"
    assert writer.store(BEFORE, 7) == [b"unknown", b"1", 2]


def test_the_status_of_a_store_that_nobody_has_written(writer: ByHand) -> None:
    at, life, version, canary, sums, high, node, offer, reports = writer.store(STATUS)
    assert abs(int(at) - writer.now()) < 60_000
    assert (life, version, canary, sums) == (b"", 0, None, [None] * 4)
    assert (high, node, offer, reports) == (0, b"", b"", [])
