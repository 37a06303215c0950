"""Where keys are: against what libmemcached 1.1.4 answers for the same servers, and as twemproxy 0.5 places them."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.key_hash import KEY_HASHES
from twisted_mesh.policy.shards import Ketama, Modulo, ketama_name, points, points_of, tag_of

WEIGHTS = (600, 300, 200, 350, 1000, 800, 950, 100)
# memcached_generate_hash of user:0 to user:39, MD5, eight weighted servers at 10.0.1.1:11211 and so on.
WEIGHTED = [0, 6, 2, 3, 3, 3, 1, 0, 3, 4, 1, 6, 6, 4, 4, 4, 4, 2, 4, 6, 4, 0, 3, 0, 2, 3, 0, 4, 6, 4, 0, 5, 6, 4, 5, 6]
# Of 0:name to 39:name, FNV-1a, three servers at 127.0.0.1:6379 to 6381.
EVEN = [
    1,
    0,
    0,
    2,
    1,
    0,
    1,
    2,
    2,
    2,
    1,
    0,
    0,
    1,
    0,
    0,
    2,
    2,
    2,
    2,
    0,
    0,
    1,
    0,
    1,
    1,
    1,
    2,
    2,
    0,
    1,
    1,
    0,
    2,
    2,
    2,
    0,
    2,
]


def test_weighted_servers_have_the_keys_that_libmemcached_gives_them() -> None:
    names = [ketama_name(f"10.0.1.{each + 1}", 11211) for each in range(8)]
    ring = Ketama(range(8), names, WEIGHTS)
    assert [ring.pick(KEY_HASHES["md5"](b"user:%d" % each)) for each in range(len(WEIGHTED))] == WEIGHTED


def test_other_ports_are_part_of_the_name() -> None:
    names = [ketama_name("127.0.0.1", port) for port in (6379, 6380, 6381)]
    assert names[0] == "127.0.0.1:6379"
    ring = Ketama(range(3), names, (1, 1, 1))
    assert [ring.pick(KEY_HASHES["fnv1a_64"](b"%d:name" % each)) for each in range(len(EVEN))] == EVEN


def test_points_are_those_of_the_md5_of_name_and_number() -> None:
    assert min(points("10.0.1.1", 160)) == 17349376
    assert len(list(points("10.0.1.1", 160))) == 160


def test_points_go_by_weight_rounded_down_to_whole_hashes() -> None:
    assert [points_of(each, sum(WEIGHTS), 8) for each in WEIGHTS] == [176, 88, 56, 104, 296, 236, 280, 28]
    assert points_of(1, 3, 3) == points_of(7, 21, 3) == 160


def test_a_name_is_cut_where_the_others_cut_it() -> None:
    assert list(points("x" * 90, 8))[:4] == list(points("x" * 90, 8))[4:]


def test_a_ring_wraps_round_and_walks_each_server_once() -> None:
    ring = Ketama("abc", ["a", "b", "c"], (1, 1, 1))
    in_order = list(ring.points())
    assert ring.pick(in_order[-1][0] + 1) == in_order[0][1]
    assert ring.pick(in_order[5][0]) == in_order[5][1]
    assert sorted(ring.walk(123456)) == ["a", "b", "c"]
    assert next(ring.walk(123456)) == ring.pick(123456)


def test_few_keys_move_when_a_server_is_added() -> None:
    before = Ketama(range(4), [f"s{each}" for each in range(4)], (1,) * 4)
    after = Ketama(range(5), [f"s{each}" for each in range(5)], (1,) * 5)
    hashes = [KEY_HASHES["md5"](b"%d" % each) for each in range(4000)]
    moved = [each for each in hashes if before.pick(each) != after.pick(each)]
    assert 0.1 < len(moved) / len(hashes) < 0.3
    assert all(after.pick(each) == 4 for each in moved)


def test_modulo_counts_each_server_as_often_as_it_weighs() -> None:
    table = Modulo("ab", ["a", "b"], (1, 2))
    assert [table.pick(each) for each in range(6)] == ["a", "b", "b", "a", "b", "b"]
    assert list(table.walk(1)) == ["b", "a"]


@pytest.mark.parametrize(
    ("pair", "key", "hashed"),
    [
        (b"{}", b"user:{42}:name", b"42"),
        (b"{}", b"user:{}:name", b"user:{}:name"),
        (b"{}", b"user:{42", b"user:{42"),
        (b"{}", b"}{a}{b}", b"a"),
        (b"$$", b"user:$42$:name", b"42"),
        (b"", b"user:{42}", b"user:{42}"),
    ],
)
def test_tags(pair: bytes, key: bytes, hashed: bytes) -> None:
    assert tag_of(pair)(key) == hashed


@pytest.mark.parametrize("kind", [Ketama, Modulo])
def test_nothing_to_choose_from(kind: type[Ketama[int]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        kind((), (), ())
    with pytest.raises(ValueError, match="1 or more"):
        kind((1,), ("a",), (0,))
