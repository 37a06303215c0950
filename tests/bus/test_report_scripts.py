"""The scripts with which sidecars report, run by another program."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bus.by_hand import ByHand, parts, record, rest
from tests.support import until
from twisted_mesh.bus.read_scripts import STATUS
from twisted_mesh.bus.report_scripts import LEAVE, OFFER, REPORT, RESTORE
from twisted_mesh.bus.store_scripts import APPLY

LEASE = 60_000


def report(
    writer: ByHand,
    node: str = "web-1",
    *,
    lease: int = LEASE,
    life: str = "",
    version: int = 0,
    side: str = "",
    canary: int = 0,
    calls: tuple[int, int] = (0, 0),
    blame: str = "",
    run: str = "run-1",
) -> Any:
    text = json.dumps({"node": node, "version": version})
    return writer.store(REPORT, node, lease, text, life, version, side, canary, *calls, blame, f"end of {canary}", run)


def canary(writer: ByHand, margin: float = 0.05, least_calls: int = 10) -> int:
    """Have one canary open, which may be judged at once; returns its version."""
    writer.store(APPLY, "t1", "ann", "", "0", "", "clusters/web", "", rest(1))
    trial = {"version": 0, "share": 0.5, "bound": 0.5, "margin": margin, "least_calls": least_calls, "settle": 0}
    said, version = writer.store(APPLY, "t2", "ann", "", "0", json.dumps(trial), "clusters/web", 1, rest(2))
    assert said == b"written"
    return int(version)


def test_a_report_stands_under_a_lease(writer: ByHand) -> None:
    assert report(writer) == [b"", 0, 0, 0, 0]
    line, _, text = writer.hash("sidecars:records")["web-1"].partition("\n")
    head = json.loads(line)
    assert head["expires"] - head["at"] == LEASE
    assert head["run"] == "run-1"
    assert json.loads(text) == {"node": "web-1", "version": 0}
    assert float(writer.redis("ZSCORE", "mesh:{shop}:sidecars:leases", "web-1")) == head["expires"]
    assert writer.store(LEAVE, "web-1") == 1
    assert writer.hash("sidecars:records") == {}


def test_a_lease_that_ends_takes_the_report_with_it(writer: ByHand) -> None:
    report(writer, "short", lease=1)
    report(writer, "long")

    def left() -> bool:
        return writer.store(STATUS)[8] != [] and set(writer.hash("sidecars:records")) == {"long"}

    until(left, "the end of the short lease")


def test_the_answer_names_the_version_of_the_store(writer: ByHand) -> None:
    writer.store(APPLY, "t1", "ann", "", "0", "", "clusters/web", "", rest(1))
    assert report(writer, life="1-t1", version=1)[:2] == [b"1-t1", 1]


def test_two_processes_of_one_name_are_told_and_one_that_starts_anew_is_none(writer: ByHand) -> None:
    assert report(writer, run="a")[4] == 0
    assert report(writer, run="b")[4] == 0
    assert report(writer, run="b")[4] == 0
    assert report(writer, run="a")[4] == 1
    assert report(writer, run="b")[4] == 1


def test_a_canary_that_is_refused_ends_with_who_and_why(writer: ByHand) -> None:
    version = canary(writer)
    *_, ended, _ = report(writer, side="canary", canary=version, blame="clusters/web: no such thing")
    assert ended == version + 1
    entry = json.loads(writer.hash("config:history")[str(ended)])
    assert (entry["kind"], entry["canary"]) == ("rollback", version)
    assert "web-1 refused clusters/web: no such thing" in entry["reason"]
    assert {name: parts(text)[2] for name, text in writer.hash("config:resources").items()} == {"clusters/web": 1}


@pytest.mark.parametrize(("failed", "ends"), [(4, True), (1, False)])
def test_a_canary_is_judged_by_the_calls_of_both_sides(writer: ByHand, failed: int, ends: bool) -> None:
    version = canary(writer, margin=0.2)
    assert report(writer, "other", side="other", canary=version, calls=(100, 10))[3] == 0
    *_, ended, _ = report(writer, "one", side="canary", canary=version, calls=(10, failed))
    assert bool(ended) is ends


def test_calls_are_counted_once_however_often_they_are_reported(writer: ByHand) -> None:
    version = canary(writer, least_calls=1000)
    for calls in (10, 15, 15):
        report(writer, side="other", canary=version, calls=(calls, 1))
    assert writer.hash("config:traffic") == {"node web-1": "15 1", "other calls": "15", "other errors": "1"}
    # One that was restarted counts from nothing again.
    report(writer, side="other", canary=version, calls=(3, 0))
    assert writer.hash("config:traffic")["other calls"] == "18"


def test_what_was_lost_is_offered_and_comes_back_in_a_new_life(writer: ByHand) -> None:
    assert report(writer, life="1-old", version=7)[2] == 1
    assert writer.redis("GET", "mesh:{shop}:config:seen") == b"7 1-old web-1"
    said, high, whose = writer.store(RESTORE, "t", "ann", "", "")
    assert (said, high, whose) == (b"none", 7, b"web-1")
    head = ("web-1", LEASE, "1-old", 7)
    assert writer.store(OFFER, *head, 1, 0, "clusters/a", record(3, 1)) == 1
    assert writer.store(RESTORE, "t", "ann", "", "")[0] == b"none"
    assert writer.store(OFFER, *head, 0, 1, "clusters/b", record(5, 2)) == 1
    # Whoever else has the same is not asked.
    assert report(writer, "web-2", life="1-old", version=7)[2] == 0
    assert writer.store(RESTORE, "t", "ann", "", "web-2")[0] == b"none"
    assert writer.redis("GET", "mesh:{shop}:config:wanted") == b"web-2"
    assert report(writer, "web-2", life="1-old", version=7)[2] == 1
    assert writer.store(RESTORE, "t", "ann", "why", "web-1") == [b"written", 8, b"web-1"]
    found = {name: parts(text) for name, text in writer.hash("config:resources").items()}
    assert {name: (head["version"], value) for name, (head, _, value) in found.items()} == {
        "clusters/a": (3, 1),
        "clusters/b": (5, 2),
    }
    assert writer.redis("GET", "mesh:{shop}:config:epoch") == b"8-t"
    assert writer.store(RESTORE, "t", "ann", "why", "web-1") == [b"done", 8]
    assert writer.redis("EXISTS", *(f"mesh:{{shop}}:config:{each}" for each in ("offer", "seen", "wanted"))) == 0


def test_a_part_of_another_offer_is_not_taken(writer: ByHand) -> None:
    assert writer.store(OFFER, "one", LEASE, "1-old", 7, 1, 0, "clusters/a", record(3, 1)) == 1
    assert writer.store(OFFER, "two", LEASE, "1-old", 7, 0, 1, "clusters/b", record(3, 1)) == 0
    assert writer.store(OFFER, "one", LEASE, "1-old", 8, 0, 1, "clusters/b", record(3, 1)) == 0
    assert "clusters/b" not in writer.hash("config:offer")
    assert 0 < writer.redis("PTTL", "mesh:{shop}:config:offer") <= LEASE


def test_where_memory_is_full_reports_come_in_and_end_canaries(writer: ByHand) -> None:
    version = canary(writer)
    writer.redis("CONFIG", "SET", "maxmemory", 1)
    try:
        *_, ended, _ = report(writer, side="canary", canary=version, blame="clusters/web: no")
    finally:
        writer.redis("CONFIG", "SET", "maxmemory", 0)
    assert ended == version + 1
    assert "web-1" in writer.hash("sidecars:records")
