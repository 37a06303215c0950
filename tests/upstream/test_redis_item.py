"""The commands of one call, one by one."""

from __future__ import annotations

from twisted_mesh.codec.resp import pack
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_item import PATIENCE, Item, Repeats, in_order


def test_all_keys_of_a_command() -> None:
    assert Item(pack([b"MSET", b"a", b"1", b"b", b"2"]), b"a").all_keys() == {b"a", b"b"}
    assert Item(pack([b"EVAL", b"x", b"1", b"k", b"v"]), b"k").all_keys() == {b"k"}
    assert Item(pack([b"PING"])).all_keys() == set()
    assert Item(pack([b"FLUSHALL", b"ASYNC"])).all_keys() == set()


def test_of_a_value_on_its_way_the_key_is_known() -> None:
    assert Item(ByteStream(), b"a").all_keys() == {b"a"}
    assert Item(ByteStream()).all_keys() == set()


def test_replies_one_after_the_other() -> None:
    assert in_order([b"+OK\r\n", b":1\r\n"]) == b"+OK\r\n:1\r\n"


def test_twice_at_once_and_then_after_a_wait() -> None:
    repeats = Repeats(10.0)
    assert repeats.ends == 10.0 + PATIENCE
    assert [repeats.at_once(0) for _ in range(3)] == [True, True, False]
    assert repeats.at_once(1)
    repeats.waited(0)
    assert repeats.at_once(0)
