"""Records under leases, at a real server."""

from __future__ import annotations

import json
from typing import Any, Iterator, Union

import pytest

from tests.bus.direct import Direct, result_of
from tests.servers import Conversation, Server
from tests.support import free_port, until
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.lease_scripts import FORGET, LOG
from twisted_mesh.bus.leases import GUARD, Changes, Guard, Held, Leases, Listed, Whole

PREFIX = "mesh:{shop}:"
BASE = PREFIX + "service:web"


class Set:
    """One set at the server, looked at from both sides."""

    def __init__(self, redis: Conversation, guard: Guard = GUARD) -> None:
        self.redis = redis
        self.leases = Leases(Direct(redis), Keys("shop"), "service", guard)  # type: ignore[arg-type]

    def put(self, id: str, lease: float = 600.0, name: str = "web", **fields: Any) -> tuple[int, bytes]:
        record = json.dumps({"id": id, "lease": lease, "heartbeat": 5, **fields}, separators=(",", ":")).encode()
        return result_of(self.leases.put(name, id, record, lease, fields.get("owner", "")))

    def run_out(self, *ids: str, name: str = "web") -> None:
        """Have these leases end now: what else would be waiting."""
        for id in ids:
            assert self.redis("ZADD", f"{PREFIX}service:{name}:leases", "XX", "CH", 1, id) == 1

    def late(self, *ids: str) -> None:
        """Have these have missed all but their last heartbeat: their leases of 600 s end in 1 s."""
        seconds, _ = self.redis("TIME")
        for id in ids:
            self.redis("ZADD", f"{BASE}:leases", "XX", (int(seconds) + 1) * 1000, id)

    def read(self, known: int = 0, name: str = "web") -> Union[Changes, Whole]:
        born = self.redis("HGET", PREFIX + "services", ":born") or b""
        return result_of(self.leases.read(name, known, born.decode()))

    def ids(self) -> set[str]:
        whole = self.read()
        assert isinstance(whole, Whole)
        return set(whole.records)

    def changes(self, known: int) -> list[Any]:
        answer = self.read(known)
        assert isinstance(answer, Changes), answer
        return [json.loads(each) for each in answer.changes]

    @property
    def version(self) -> int:
        return int(self.redis("HGET", PREFIX + "services", "web") or 0)


@pytest.fixture
def web(server: Server) -> Iterator[Set]:
    with server.connect() as redis:
        redis("FLUSHALL")
        yield Set(redis)


def test_what_is_put_can_be_read(web: Set) -> None:
    """A record is there with the end of its lease, by Redis's clock."""
    version, other = web.put("a", 15.0)
    whole = web.read()
    assert isinstance(whole, Whole)
    assert (whole.version, other) == (version, b"")
    assert json.loads(whole.records["a"])["id"] == "a"
    assert 14_000 < whole.ends["a"] - whole.now <= 15_000
    assert not whole.suspects


def test_the_version_begins_at_the_time(web: Set) -> None:
    """After a flush versions go on above what they were, so that nobody takes the new data for the old."""
    before, _ = web.put("a")
    for _ in range(50):
        web.put("a", weight=web.version)
    reached = web.version
    web.redis("FLUSHALL")
    seconds, micros = web.redis("TIME")
    after, _ = web.put("a")
    assert after >= int(seconds) * 1000 + int(micros) // 1000
    assert reached == before + 50


def test_an_equal_record_is_no_change(web: Set) -> None:
    """Putting the same again only renews the lease: nobody is told."""
    first, _ = web.put("a")
    assert web.put("a") == (first, b"")
    assert web.put("a", weight=2) == (first + 1, b"")


def test_each_change_is_told_on_the_channel_with_its_version(web: Set, server: Server) -> None:
    """The message is the change: what it is about and nothing else."""
    with server.connect() as listener:
        listener("SUBSCRIBE", BASE)
        version, _ = web.put("a", zone="z")
        message = json.loads(listener.read()[2])
        assert message == {
            "v": version, "op": "set", "id": "a", "record": {"id": "a", "lease": 600.0, "heartbeat": 5, "zone": "z"},
        }  # fmt: skip
        assert result_of(web.leases.remove("web", "a", 'by "hand"')) == 1
        assert json.loads(listener.read()[2]) == {"v": version + 1, "op": "del", "ids": ["a"], "why": 'by "hand"'}


def test_only_what_was_missed_is_read(web: Set) -> None:
    """Who knows a version gets the changes since; who has missed too many gets everything."""
    first, _ = web.put("a")
    web.put("b")
    web.put("c")
    assert [each["id"] for each in web.changes(first)] == ["b", "c"]
    assert web.changes(web.version) == []
    for index in range(LOG):
        web.put("b", weight=index + 2)
    assert len(web.changes(web.version - LOG)) == LOG
    assert isinstance(web.read(first), Whole)
    # Somebody who knows more than there is has known another Redis.
    assert isinstance(web.read(web.version + 1), Whole)


def test_who_knew_another_redis_reads_everything(web: Set) -> None:
    """A version means nothing to a Redis that was born later."""
    version, _ = web.put("a")
    assert isinstance(web.read(version), Changes)
    assert isinstance(result_of(web.leases.read("web", version, "1")), Whole)


def test_a_lease_that_ran_out_ends_when_somebody_looks(web: Set) -> None:
    """The one who looks sweeps, and all are told."""
    web.put("a")
    web.put("b")
    web.put("c")
    known = web.version
    web.run_out("b")
    assert web.changes(known) == [{"v": known + 1, "op": "del", "ids": ["b"], "why": "its lease ran out"}]
    assert web.ids() == {"a", "c"}


def test_a_renewed_lease_goes_on(web: Set) -> None:
    """Renewing in time, or late but before anybody looked, keeps the record; no change is told."""
    web.put("a", 5.0)
    web.put("b", 5.0)
    known = web.version
    web.run_out("b")
    assert result_of(web.leases.renew([Held("web", "a", 30.0), Held("web", "b", 30.0)])) == []
    assert web.ids() == {"a", "b"}
    assert web.version == known
    whole = web.read()
    assert isinstance(whole, Whole)
    assert all(29_000 < end - whole.now <= 30_000 for end in whole.ends.values())


def test_renewing_says_what_is_not_there(web: Set) -> None:
    """Whoever holds a lease that Redis does not know has to put it again."""
    web.put("a")
    held = [Held("web", "gone", 5.0), Held("api", "x", 5.0), Held("web", "a", 5.0)]
    assert sorted(result_of(web.leases.renew(held))) == [("api", "x"), ("web", "gone")]


def test_many_leases_are_renewed_in_few_commands(web: Set) -> None:
    """One who holds 1,200 leases needs three scripts."""
    direct = web.leases._redis
    held = [Held(f"s{index % 7}", f"i{index}", 15.0) for index in range(1200)]
    for each in held:
        web.put(each.id, name=each.name)
    direct.ran.clear()  # type: ignore[attr-defined]
    assert result_of(web.leases.renew(held)) == []
    assert direct.ran == ["renew"] * 3  # type: ignore[attr-defined]


# --- the guard


def test_leases_that_run_out_together_are_suspects(web: Set) -> None:
    """With more than half of them at once something else has failed: they are kept, with a reason and an end."""
    for id in "abcde":
        web.put(id)
    known = web.version
    web.run_out("a", "b", "c")
    (change,) = web.changes(known)
    assert (change["op"], sorted(change["ids"])) == ("suspect", ["a", "b", "c"])
    assert change["why"] == "3 of 5 leases ran out together"
    whole = web.read()
    assert isinstance(whole, Whole)
    assert set(whole.records) == set("abcde")
    assert set(whole.suspects) == set("abc")
    assert whole.why == "3 of 5 leases ran out together"
    assert all(59_000 < until - whole.now <= 60_000 for until in whole.suspects.values())


def test_half_of_them_are_no_mass(web: Set) -> None:
    """The guard wants more than its share."""
    for id in "abcd":
        web.put(id)
    web.run_out("a", "b")
    assert web.ids() == {"c", "d"}


def test_one_alone_is_no_mass(web: Set) -> None:
    """The only instance of a service is gone when its lease is."""
    web.put("a")
    web.run_out("a")
    assert web.ids() == set()


def test_those_that_are_late_count_before_their_leases_end(web: Set) -> None:
    """Leases do not run out in one moment: who has missed two heartbeats is in doubt already."""
    for id in "abcde":
        web.put(id)
    web.late("b", "c")
    web.run_out("a")
    assert web.ids() == set("abcde")


def test_the_share_is_a_setting(web: Set) -> None:
    """A guard of 80 percent lets three of five go; one of 100 lets all go."""
    for id in "abcde":
        web.put(id)
    web.run_out("a", "b", "c")
    strict = Set(web.redis, Guard(80.0, 60.0))
    assert strict.ids() == {"d", "e"}
    web.run_out("d", "e")
    assert Set(web.redis, Guard(100.0, 0.0)).ids() == set()


def test_suspects_that_renew_are_cleared(web: Set) -> None:
    """A heartbeat ends the suspicion, and all are told."""
    for id in "abc":
        web.put(id)
    web.run_out("a", "b", "c")
    web.read()
    known = web.version
    assert result_of(web.leases.renew([Held("web", "a", 600.0), Held("web", "b", 600.0)])) == []
    (change,) = web.changes(known)
    assert (change["op"], sorted(change["ids"])) == ("clear", ["a", "b"])
    whole = web.read()
    assert isinstance(whole, Whole)
    assert set(whole.suspects) == {"c"}
    # Putting clears as well, although the record is the same.
    web.put("c")
    whole = web.read()
    assert isinstance(whole, Whole)
    assert not whole.suspects
    assert set(whole.ends) == set("abc")


def test_suspicion_ends(web: Set) -> None:
    """A suspect that is not heard of again is gone when its time is up."""
    for id in "abc":
        web.put(id)
    web.run_out("a", "b", "c")
    web.read()
    known = web.version
    web.redis("ZADD", f"{BASE}:suspects", "XX", 1, "a")
    assert web.changes(known) == [{"v": known + 1, "op": "del", "ids": ["a"], "why": "a suspect for too long"}]
    assert web.ids() == {"b", "c"}


def test_a_refused_connection_ends_a_suspect_at_once_and_nobody_else(web: Set) -> None:
    """A suspect that refuses a connection is no suspect any more but gone; a live instance is not touched."""
    for id in "abc":
        web.put(id)
    web.run_out("a", "b")
    web.read()
    assert result_of(web.leases.refuse("web", "a", "refused")) is True
    assert result_of(web.leases.refuse("web", "c", "refused")) is False
    assert result_of(web.leases.refuse("web", "nobody", "refused")) is False
    assert web.ids() == {"b", "c"}


# --- removing and amending


def test_only_the_owner_removes(web: Set) -> None:
    """A process that ends late does not take away what its successor has put."""
    web.put("a", owner="old")
    _, other = web.put("a", owner="new")
    assert json.loads(other)["owner"] == "old"
    assert result_of(web.leases.remove("web", "a", "bye", "old")) == -1
    assert web.ids() == {"a"}
    assert result_of(web.leases.remove("web", "a", "bye", "new")) == 1
    assert result_of(web.leases.remove("web", "a", "bye")) == 0


def test_a_successor_whose_predecessor_is_dead_is_not_told_of_it(web: Set) -> None:
    """Only an owner whose lease still runs is worth a word."""
    web.put("a", owner="old")
    web.run_out("a")
    assert web.put("a", owner="new")[1] == b""


def test_one_field_is_amended(web: Set) -> None:
    """A field changes and the others do not; the same value is no change; what is not there is not made."""
    version, _ = web.put("a", status="up", labels={})
    assert result_of(web.leases.amend("web", "a", "status", b'"draining"')) == version + 1
    (change,) = web.changes(version)
    assert change["record"] == {"id": "a", "lease": 600, "heartbeat": 5, "status": "draining", "labels": {}}
    assert result_of(web.leases.amend("web", "a", "status", b'"draining"')) == version + 1
    assert result_of(web.leases.amend("web", "b", "status", b'"draining"')) == 0


# --- looking at many


def test_a_poll_gives_versions_and_when_to_come_again(web: Set) -> None:
    """It sweeps, and says how long nothing more will end."""
    web.put("a", 600.0)
    web.put("b", 30.0)
    web.put("x", 300.0, name="api")
    known = web.version
    versions, soonest = result_of(web.leases.poll(["web", "api", "nothing"]))
    assert versions == {"web": known, "api": int(web.redis("HGET", PREFIX + "services", "api")), "nothing": 0}
    assert 29.0 < soonest <= 30.0
    web.run_out("b")
    versions, _ = result_of(web.leases.poll(["web"]))
    assert versions == {"web": known + 1}
    assert result_of(web.leases.poll(["nothing"])) == ({"nothing": 0}, -1.0)


def test_a_poll_ends_what_is_due_in_each_set(web: Set) -> None:
    """Leases and suspicions, and says the versions that come of it."""
    for id in "abc":
        web.put(id)
        web.put(id, name="api")
    web.run_out("a", "b")
    web.run_out("a", name="api")
    before = {"web": web.version, "api": int(web.redis("HGET", PREFIX + "services", "api"))}
    versions, soonest = result_of(web.leases.poll(["web", "api"]))
    assert versions == {name: version + 1 for name, version in before.items()}
    # The suspects of `web` end before any lease.
    assert 59.0 < soonest <= 60.0
    web.redis("ZADD", f"{BASE}:suspects", "XX", 1, "a")
    versions, _ = result_of(web.leases.poll(["web", "api"]))
    assert versions["web"] == before["web"] + 2


def test_many_sets_are_polled_in_parts(web: Set) -> None:
    """More sets than fit one script are asked for in several."""
    web.put("a", 600.0)
    web.put("x", 30.0, name="api")
    names = ["web", *(f"n{index}" for index in range(450)), "api"]
    versions, soonest = result_of(web.leases.poll(names))
    assert len(versions) == 452
    assert versions["web"] == web.version
    assert 29.0 < soonest <= 30.0


def test_all_sets_are_listed(web: Set) -> None:
    """Every set by name, with how many records it has; leases that ran out are swept first."""
    web.put("a")
    web.put("b")
    web.put("x", name="api")
    web.run_out("x", name="api")
    found = result_of(web.leases.list())
    assert [(each.name, each.leased, each.suspects) for each in found] == [("api", 0, 0), ("web", 2, 0)]
    assert isinstance(found[0], Listed)


def test_an_empty_set_is_forgotten_after_a_while(web: Set) -> None:
    """Services come and go; what is empty for an hour leaves nothing behind."""
    web.put("a")
    result_of(web.leases.remove("web", "a", "bye"))
    result_of(web.leases.poll(["other"]))
    assert web.version
    web.redis("ZADD", PREFIX + "services:empty", "XX", int(web.redis("TIME")[0]) * 1000 - FORGET - 1000, "web")
    result_of(web.leases.poll(["other"]))
    assert web.redis("KEYS", "*") == [b"mesh:{shop}:services"]
    assert web.redis("HKEYS", PREFIX + "services") == [b":born"]
    # It may come back.
    web.put("a")
    assert web.ids() == {"a"}


def test_where_memory_is_full_leases_live_on(web: Set) -> None:
    """Renewing and sweeping take no memory: a full server loses no instance.  What is new is refused, and says why."""
    for id in "abc":
        web.put(id)
    known = web.version
    web.redis("CONFIG", "SET", "maxmemory", 1)
    try:
        assert result_of(web.leases.renew([Held("web", id, 600.0) for id in "abc"])) == []
        with pytest.raises(BusError, match="OOM") as refused:
            web.put("d")
        assert refused.value.code == "OOM"
    finally:
        web.redis("CONFIG", "SET", "maxmemory", 0)
    web.run_out("c")
    web.redis("CONFIG", "SET", "maxmemory", 1)
    try:
        (change,) = web.changes(known)
        assert change["ids"] == ["c"]
    finally:
        web.redis("CONFIG", "SET", "maxmemory", 0)
    assert web.ids() == {"a", "b"}


def test_records_that_are_no_json_do_not_stop_a_sweep(web: Set) -> None:
    """Whatever another program has written: leases end all the same."""
    web.put("a")
    web.put("b")
    web.put("c")
    web.redis("HSET", f"{BASE}:records", "c", "not json")
    web.run_out("c")
    assert web.ids() == {"a", "b"}
    web.redis("HSET", f"{BASE}:records", "b", '"text"')
    assert result_of(web.leases.remove("web", "b", "bye", "me")) == 1


def test_a_redis_cluster_takes_the_scripts() -> None:
    """They name one key, and touch only keys of its slot."""
    server = Server("--cluster-enabled", "yes", "--cluster-port", free_port()).start()
    try:
        server("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: b"cluster_state:ok" in server("CLUSTER", "INFO"))
        with server.connect() as redis:
            one = Set(redis)
            for id in "abc":
                one.put(id)
            known = one.version
            one.run_out("a")
            (change,) = one.changes(known)
            assert change["ids"] == ["a"]
            assert result_of(one.leases.renew([Held("web", "b", 60.0)])) == []
            assert result_of(one.leases.poll(["web"]))[0] == {"web": known + 1}
            assert [each.name for each in result_of(one.leases.list())] == ["web"]
    finally:
        server.stop()
