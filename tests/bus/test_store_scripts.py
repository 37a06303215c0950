"""The scripts that write the configuration store, run by another program: what it finds is what docs/redis.md says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bus.by_hand import ByHand, parts, rest
from tests.servers import Refused
from twisted_mesh.bus.store_scripts import APPLY, PROMOTE, ROLLBACK

CANARY = json.dumps({"version": 0, "share": 0.1, "bound": 0.2, "margin": 0.05, "least_calls": 100, "settle": 3})


def apply(writer: ByHand, token: str, *changes: Any, trial: str = "", force: str = "0") -> Any:
    return writer.store(APPLY, token, "ann", "why not", force, trial, *changes)


def test_a_change_is_a_record_a_version_and_a_message(writer: ByHand) -> None:
    before = writer.now()
    assert apply(writer, "t1", "clusters/web", "", rest({"a": []}), "clusters/api", 0, rest(1, '{"zone":"a"}')) == [
        b"written",
        1,
    ]
    head, select, value = parts(writer.hash("config:resources")["clusters/web"])
    assert (select, value) == ("", {"a": []})
    assert (head["version"], head["author"], head["reason"]) == (1, "ann", "why not")
    assert before <= head["at"] <= writer.now()
    assert parts(writer.hash("config:resources")["clusters/api"])[1:] == ('{"zone":"a"}', 1)
    history = writer.hash("config:history")
    entry = json.loads(history["1"])
    assert (entry["kind"], entry["names"], entry["token"]) == ("apply", ["clusters/web", "clusters/api"], "t1")
    # What was there before: nothing.
    assert history["1 clusters/web"] == history["1 clusters/api"] == ""
    assert history["token t1"] == "1"
    assert writer.redis("LRANGE", "mesh:{shop}:config:versions", 0, -1) == [b"1"]
    assert writer.redis("ZSCORE", "mesh:{shop}:config:changed", "clusters/web") == b"1"
    life = writer.redis("GET", "mesh:{shop}:config:epoch").decode()
    assert life == "1-t1"
    assert writer.heard() == {"epoch": life, "version": 1}


def test_the_same_token_writes_once(writer: ByHand) -> None:
    apply(writer, "t1", "clusters/web", "", rest(1))
    assert apply(writer, "t1", "clusters/web", "", rest(1)) == [b"done", 1]
    assert apply(writer, "t2", "clusters/web", "", rest(1)) == [b"same", 1]
    assert writer.redis("GET", "mesh:{shop}:config:version") == b"1"


def test_the_history_has_what_was_there_before(writer: ByHand) -> None:
    apply(writer, "t1", "clusters/web", "", rest(1))
    apply(writer, "t2", "clusters/web", 1, rest(2))
    apply(writer, "t3", "clusters/web", 2, "")
    history = writer.hash("config:history")
    assert [parts(history[f"{version} clusters/web"])[2] for version in (2, 3)] == [1, 2]
    assert writer.hash("config:resources") == {}
    # That it was deleted is known for as long as the version is kept that did it.
    assert writer.redis("ZSCORE", "mesh:{shop}:config:changed", "clusters/web") == b"3"


def test_somebody_who_was_faster_is_named(writer: ByHand) -> None:
    apply(writer, "t1", "clusters/web", 0, rest(1), "clusters/api", 0, rest(1))
    said, json_text = apply(writer, "t2", "clusters/web", 0, rest(2), "clusters/api", 1, rest(2))
    assert said == b"conflict"
    [clash] = json.loads(json_text)
    assert (clash["name"], clash["seen"], clash["version"], clash["author"]) == ("clusters/web", 0, 1, "ann")
    # Nothing of it was written.
    assert parts(writer.hash("config:resources")["clusters/api"])[2] == 1


def test_a_canary_stands_beside_what_it_tries_and_is_promoted_by_its_version(writer: ByHand) -> None:
    apply(writer, "t1", "clusters/web", "", rest(1))
    assert apply(writer, "t2", "clusters/web", 1, rest(2), "clusters/old", 0, "", trial=CANARY) == [b"written", 2]
    records = writer.hash("config:resources")
    assert [parts(records[name])[2] for name in ("clusters/web", "~clusters/web")] == [1, 2]
    open_one = json.loads(writer.redis("GET", "mesh:{shop}:config:canary"))
    assert (open_one["version"], open_one["names"], open_one["author"]) == (2, ["clusters/web"], "ann")
    said, _ = apply(writer, "t3", "clusters/web", 1, rest(3))
    assert said == b"conflict"
    assert apply(writer, "t4", "clusters/other", "", rest(3), trial=CANARY)[0] == b"canary"
    assert writer.store(PROMOTE, "t5", "bob", "", 1)[0] == b"none"
    assert writer.store(PROMOTE, "t6", "bob", "", 2) == [b"written", 3]
    records = writer.hash("config:resources")
    assert {name: parts(text)[2] for name, text in records.items()} == {"clusters/web": 2}
    assert parts(records["clusters/web"])[0]["author"] == "bob"
    assert writer.redis("EXISTS", "mesh:{shop}:config:canary") == 0
    assert writer.store(PROMOTE, "t6", "bob", "", 2) == [b"done", 3]


def test_going_back_is_a_version_of_its_own(writer: ByHand) -> None:
    for at in range(1, 4):
        apply(writer, f"t{at}", "clusters/web", "", rest(at))
    assert writer.store(ROLLBACK, "t4", "bob", "", 1) == [b"written", 4]
    head, _, value = parts(writer.hash("config:resources")["clusters/web"])
    assert (head["version"], value) == (4, 1)
    assert json.loads(writer.hash("config:history")["4"])["to"] == 1
    # Without a version: what the last one did is undone.
    assert writer.store(ROLLBACK, "t5", "bob", "", "") == [b"written", 5]
    assert parts(writer.hash("config:resources")["clusters/web"])[2] == 3
    assert writer.store(ROLLBACK, "t6", "bob", "", 9) == [b"unknown", b"1", 5]


def test_what_a_sidecar_has_and_the_store_lost_is_not_written_over(writer: ByHand) -> None:
    writer.redis("SET", "mesh:{shop}:config:seen", "7 1-old web-1")
    assert apply(writer, "t1", "clusters/web", "", rest(1)) == [b"behind", 0, 7, b"web-1"]
    assert apply(writer, "t2", "clusters/web", "", rest(1), force="1") == [b"written", 8]
    # A new life, above all that was seen, so that everyone follows.
    assert writer.redis("GET", "mesh:{shop}:config:epoch") == b"8-t2"


def test_without_memory_nothing_is_half_written(writer: ByHand) -> None:
    apply(writer, "t1", "clusters/web", "", rest(1))
    before = (writer.hash("config:resources"), writer.hash("config:history"))
    writer.redis("CONFIG", "SET", "maxmemory", 1)
    try:
        for run in (
            lambda: apply(writer, "t2", "clusters/web", "", rest(2)),
            lambda: writer.store(ROLLBACK, "t3", "bob", "", 0),
        ):
            with pytest.raises(Refused, match="OOM"):
                run()
    finally:
        writer.redis("CONFIG", "SET", "maxmemory", 0)
    assert (writer.hash("config:resources"), writer.hash("config:history")) == before


def test_the_history_keeps_as_many_versions_as_it_is_told(writer: ByHand) -> None:
    writer.redis("HSET", "mesh:{shop}:config:history", "limit", 2)
    for at in range(1, 6):
        apply(writer, f"t{at}", "clusters/web", "", rest(at))
    history = writer.hash("config:history")
    assert writer.redis("LRANGE", "mesh:{shop}:config:versions", 0, -1) == [b"4", b"5"]
    assert set(history) == {"limit", "floor", "4", "4 clusters/web", "token t4", "5", "5 clusters/web", "token t5"}
    assert history["floor"] == "3"
    assert writer.store(ROLLBACK, "t6", "bob", "", 3) == [b"written", 6]
