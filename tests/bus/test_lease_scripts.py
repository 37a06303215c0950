"""The scripts of the registry, run by another program: what it finds is what docs/redis.md says."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest

from tests.bus.by_hand import PREFIX, ByHand, pairs
from tests.servers import Refused, Server
from tests.support import until
from twisted_mesh.bus.lease_scripts import AMEND, LIST, LOG, POLL, PUT, READ, REFUSE, REMOVE, RENEW

BASE = PREFIX + "service:web"
LEASE = 60_000
# The share and the time of the guard: none, and one that keeps suspects long.
NO_GUARD, GUARD = (100, 0), (50, 60_000)


@pytest.fixture
def writer(server: Server) -> Iterator[ByHand]:
    """Another program at an empty server, which hears of the changes of one service."""
    one = ByHand(server, BASE)
    yield one
    one.close()


def instance(id: str, **more: Any) -> str:
    return json.dumps({"id": id, "service": "web", "address": "10.0.0.1", **more})


def put(writer: ByHand, id: str, lease: int = LEASE, owner: str = "", **more: Any) -> Any:
    if owner:
        more["owner"] = owner
    return writer.lease(PUT, "web", id, instance(id, **more), lease, owner)


def read(writer: ByHand, known: int = 0, born: Any = "", guard: tuple[int, int] = NO_GUARD) -> Any:
    return writer.lease(READ, *guard, "web", known, born)


def test_a_record_its_lease_its_version_and_its_message(writer: ByHand) -> None:
    before = writer.now()
    version, other = put(writer, "a")
    assert other == b""
    assert json.loads(writer.hash("service:web:records")["a"])["address"] == "10.0.0.1"
    ends = float(writer.redis("ZSCORE", BASE + ":leases", "a"))
    assert before + LEASE <= ends <= writer.now() + LEASE
    versions = writer.hash("services")
    assert int(versions["web"]) == version == int(versions[":born"]) + 1
    message = writer.heard()
    assert (message["v"], message["op"], message["id"]) == (version, "set", "a")
    assert message["record"]["service"] == "web"
    assert json.loads(writer.redis("LRANGE", BASE + ":changes", 0, -1)[0]) == message


def test_the_same_again_renews_and_tells_nobody(writer: ByHand) -> None:
    version, _ = put(writer, "a", lease=5)
    assert put(writer, "a") == [version, b""]
    assert writer.redis("LLEN", BASE + ":changes") == 1


def test_who_replaces_a_living_one_of_another_owner_is_told(writer: ByHand) -> None:
    put(writer, "a", owner="one")
    assert put(writer, "a", owner="one", weight=2)[1] == b""
    _, other = put(writer, "a", owner="two")
    assert json.loads(other)["owner"] == "one"
    assert writer.lease(REMOVE, "web", "a", "one", "mine") == -1
    assert writer.lease(REMOVE, "web", "a", "two", "mine") == 1
    assert writer.lease(REMOVE, "web", "a", "", "again") == 0


def test_what_is_taken_away_is_told_with_the_reason(writer: ByHand) -> None:
    put(writer, "a")
    writer.lease(REMOVE, "web", "a", "", "deregistered")
    writer.heard()
    message = writer.heard()
    assert (message["op"], message["ids"], message["why"]) == ("del", ["a"], "deregistered")
    assert writer.redis("EXISTS", BASE + ":records", BASE + ":leases") == 0
    assert writer.redis("ZSCORE", PREFIX + "services:empty", "web") is not None


def test_leases_of_many_are_renewed_at_once_and_the_unknown_are_named(writer: ByHand) -> None:
    put(writer, "a", lease=1000)
    put(writer, "b", lease=1000)
    assert writer.lease(RENEW, "web", LEASE, 3, "a", "gone", "b", "api", LEASE, 1, "x") == [
        b"web",
        b"gone",
        b"api",
        b"x",
    ]
    for id in ("a", "b"):
        assert float(writer.redis("ZSCORE", BASE + ":leases", id)) > writer.now() + LEASE / 2


def test_whoever_looks_ends_what_ran_out(writer: ByHand) -> None:
    put(writer, "a")
    put(writer, "short", lease=1)
    until(lambda: read(writer)[2][::2] == [b"a"], "the end of the short lease")
    writer.heard()
    writer.heard()
    message = writer.heard()
    assert (message["op"], message["ids"], message["why"]) == ("del", ["short"], "its lease ran out")


def test_many_that_run_out_together_are_kept_as_suspects(writer: ByHand) -> None:
    for id in ("a", "b", "c"):
        put(writer, id)
    # At one time, so that nobody looks between the two.
    writer.redis("ZADD", f"{BASE}:leases", writer.now() - 1, "a", writer.now() - 1, "b")
    answer = until(lambda: (found := read(writer, guard=GUARD)) and len(found[4]) == 4 and found, "suspects")
    assert set(pairs(answer[2])) == {"a", "b", "c"}
    assert set(pairs(answer[4])) == {"a", "b"}
    assert answer[5] == b"2 of 3 leases ran out together"
    assert 0 < writer.redis("PTTL", BASE + ":reason") <= 61_000
    # A heartbeat clears one; a refused connect ends the other; what is no suspect stays.
    assert writer.lease(RENEW, "web", LEASE, 1, "a") == []
    assert writer.lease(REFUSE, "web", "b", "refused a connection") == 1
    assert writer.lease(REFUSE, "web", "c", "refused a connection") == 0
    assert set(writer.hash("service:web:records")) == {"a", "c"}
    heard = [writer.heard() for _ in range(6)]
    assert [each["op"] for each in heard] == ["set", "set", "set", "suspect", "clear", "del"]
    assert sorted(heard[3]["ids"]) == ["a", "b"] and heard[3]["until"] > writer.now()
    assert (heard[4]["ids"], heard[5]["ids"]) == (["a"], ["b"])
    assert [each["v"] - heard[0]["v"] for each in heard] == [0, 1, 2, 3, 4, 5]


def test_a_reader_gets_the_changes_since_or_all_of_it(writer: ByHand) -> None:
    first, _ = put(writer, "a")
    put(writer, "b")
    *_, born = read(writer)
    _, version, changes = read(writer, first, born)
    assert version == first + 1
    assert [json.loads(each)["id"] for each in changes] == ["b"]
    assert read(writer, version, born)[2] == []
    # Another life, a version that is not there, and more than is kept.
    assert len(read(writer, version, "other")) == 7
    assert len(read(writer, version + 5, born)) == 7
    for at in range(LOG):
        put(writer, "a", weight=at + 2)
    assert len(read(writer, first, born)) == 7


def test_a_field_of_a_record_is_changed_in_place(writer: ByHand) -> None:
    version, _ = put(writer, "a", weight=3)
    assert writer.lease(AMEND, "web", "a", "status", '"draining"') == version + 1
    found = json.loads(writer.hash("service:web:records")["a"])
    assert (found["status"], found["weight"]) == ("draining", 3)
    assert writer.lease(AMEND, "web", "a", "status", '"draining"') == version + 1
    assert writer.lease(AMEND, "web", "gone", "status", '"up"') == 0


def test_a_poll_compares_versions_and_says_when_to_come_again(writer: ByHand) -> None:
    version, _ = put(writer, "a")
    now, known, due, unknown, never = writer.lease(POLL, *NO_GUARD, "web", "api")
    assert abs(now - writer.now()) < 60_000
    assert (known, unknown, never) == (version, 0, -1)
    assert 0 <= due <= LEASE


def test_the_list_of_all(writer: ByHand) -> None:
    put(writer, "a")
    put(writer, "b")
    name, _, leased, suspects = writer.lease(LIST, *NO_GUARD)
    assert (name, leased, suspects) == (b"web", 2, 0)


def test_without_memory_nothing_is_registered_and_leases_are_renewed(writer: ByHand) -> None:
    put(writer, "a", lease=30_000)
    writer.redis("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(Refused, match="OOM"):
            put(writer, "b")
        assert writer.lease(RENEW, "web", LEASE, 1, "a") == []
    finally:
        writer.redis("CONFIG", "SET", "maxmemory", 0)
    assert set(writer.hash("service:web:records")) == {"a"}
    assert writer.redis("ZCARD", BASE + ":leases") == 1
