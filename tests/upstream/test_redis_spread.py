"""The short way to shards: when it is taken, and that keys go where the long way has them.

How it ends, whatever comes, is in tests/adapters/test_redis_several.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.redis_told import RedisWorld
from twisted_mesh.codec.command_pieces import pieces_of
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import arguments, pack
from twisted_mesh.upstream import redis_spread
from twisted_mesh.upstream.redis_spread import PartTally, Spread
from twisted_mesh.upstream.redis_topology import Sharded

MGET: Command = find(b"MGET")  # type: ignore[assignment]  # there is one
MSET: Command = find(b"MSET")  # type: ignore[assignment]
KEYS = [f"{number * 7919}:k" for number in range(20)]


class Pool:
    """Takes what it is given while it is open."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint
        self.open = True
        self.given: list[Any] = []

    def open_for_all(self) -> bool:
        return self.open

    def straight(self, pending: Any) -> bool:
        if self.open:
            self.given.append(pending)
        return self.open


class Whole:
    """What waits for the reply."""

    began = 0.0
    endpoint: Any = None


class Given:
    """A spread over three shards, and what each of them is given."""

    def __init__(self, shards: RedisWorld) -> None:
        self.world = shards
        assert isinstance(shards.topology, Sharded)
        self.spread = Spread(shards.topology, lambda call, endpoint: None)  # type: ignore[arg-type,return-value]
        self.tally = self.spread.tally(1.0, 1.0, lambda count, counts, seconds: None)
        self.pools: list[Pool] = []
        self.connect()

    def connect(self) -> None:
        for group in self.world.topology.groups():
            if group.primary is not None and "redis" not in group.primary.pools:
                self.pools.append(Pool(group.primary))
                group.primary.pools["redis"] = self.pools[-1]  # type: ignore[assignment]

    def send(self, words: list[str], command: Command = MGET) -> bool:
        return self.spread.parts(Whole(), command, pieces_of(pack(words))[1:], self.tally)  # type: ignore[arg-type]

    def taken(self) -> dict[str, list[list[bytes]]]:
        """What was given to each since the last time, as words."""
        found = {each.endpoint.target.host: [arguments(part.body) for part in each.given] for each in self.pools}
        for each in self.pools:
            each.given = []
        return {host: given for host, given in found.items() if given}


@pytest.fixture
def given(shards: RedisWorld) -> Given:
    return Given(shards)


def test_each_key_goes_to_its_shard(given: Given) -> None:
    assert given.send(["MGET", *KEYS])
    taken = given.taken()
    assert len(taken) == 3
    for host, asked in taken.items():
        ((name, *keys),) = asked
        assert name == b"MGET"
        for key in keys:
            group = given.world.topology.group(key)
            assert group is not None
            assert group.primary is not None
            assert group.primary.target.host == host
    assert sorted(key for asked in taken.values() for key in asked[0][1:]) == sorted(key.encode() for key in KEYS)
    assert repr(given.spread) == "<Spread over 3 shards>"


def test_tags_and_values_go_with_their_keys(given: Given) -> None:
    assert given.send(["MSET", "{a}1", "x", "{a}2", "y", "{a}3", ""], MSET)
    (asked,) = given.taken().values()
    assert asked == [[b"MSET", b"{a}1", b"x", b"{a}2", b"y", b"{a}3", b""]]


@pytest.mark.parametrize("words", [["MGET"], ["MGET", "a\r\n$1\r\nb"], ["MGET", "k" * 200], ["MGET", "a", "$b"]])
def test_what_is_not_for_it(given: Given, words: list[str]) -> None:
    assert not given.send(words)
    assert given.taken() == {}


@pytest.mark.parametrize(
    "words", [["MSET", "a"], ["MSET", "a", "b", "c"], ["MSET", "a", "v" * 2000], ["MSET", "a", "$b"]]
)
def test_values_that_are_not_for_it(given: Given, words: list[str]) -> None:
    assert not given.send(words, MSET)
    assert given.taken() == {}


def test_nothing_is_sent_if_one_shard_cannot_take_its_part(given: Given) -> None:
    given.pools[1].open = False
    assert not given.send(["MGET", *KEYS])
    assert given.taken() == {}
    given.pools[1].open = True
    assert given.send(["MGET", *KEYS])


def test_one_key_goes_straight(given: Given) -> None:
    pending: Any = Whole()
    assert given.spread.straight(pending, b"k1")
    (pool,) = [each for each in given.pools if each.given]
    group = given.world.topology.group(b"k1")
    assert group is not None
    assert group.primary is pool.endpoint
    pool.open = False
    assert not given.spread.straight(pending, b"k1")


def test_a_shard_that_is_out_and_one_without_a_connection(given: Given) -> None:
    out = given.pools[0].endpoint
    for healthy in (False, True):
        for each in given.world.cluster.endpoints:
            each.checked, each.healthy = True, healthy or each is not out
        given.world.cluster.refresh()
        assert given.send(["MGET", *KEYS]) == healthy
    del out.pools["redis"]
    assert not given.send(["MGET", *KEYS])


def test_a_cluster_that_is_not_to_be_used(given: Given) -> None:
    override: Any = object()
    given.world.cluster.switch.override = override
    assert not given.send(["MGET", *KEYS])
    assert not given.spread.straight(Whole(), b"k1")  # type: ignore[arg-type]


def test_who_has_what_may_change() -> None:
    """A shard that is out is ejected: its keys go to others, and come back."""
    given = Given(RedisWorld(3, topology="sharded", shards={"hash": "md5", "eject": True}))
    out = given.pools[0].endpoint
    homes = []
    for healthy in (True, False, True):
        for each in given.world.cluster.endpoints:
            each.checked, each.healthy = True, healthy or each is not out
        given.world.cluster.refresh()
        assert given.send(["MGET", *KEYS])
        homes.append({key: host for host, asked in given.taken().items() for key in asked[0][1:]})
    assert homes[0] == homes[2]
    assert out.target.host in homes[0].values()
    assert out.target.host not in homes[1].values()
    assert len(homes[1]) == len(KEYS)


def test_what_is_remembered_is_bounded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_spread, "_KNOWN_PIECES", 8)
    for start in range(0, 20, 4):
        keys = KEYS[start : start + 4]
        assert given.send(["MGET", *keys])
        assert len(given.spread._known) <= 8
        found = sorted(key for asked in given.taken().values() for key in asked[0][1:])
        assert found == sorted(key.encode() for key in keys)
    # More keys than are remembered at all.
    assert given.send(["MGET", *KEYS])
    assert len(given.spread._known) <= 8
    assert sum(len(asked[0]) - 1 for asked in given.taken().values()) == len(KEYS)


def test_parts_are_counted_as_tries() -> None:
    counted: list[tuple[int, list[int], float]] = []
    tally = PartTally(1.0, 1.0, lambda count, counts, seconds: counted.append((count, list(counts), seconds)))
    tally.count, tally.seconds = 3, 0.5
    tally.counts[1] = 3
    tally.settle()
    assert (tally.count, tally.seconds, set(tally.counts)) == (0, 0.0, {0})
    assert [(count, counts[1], seconds) for count, counts, seconds in counted] == [(3, 3, 0.5)]
