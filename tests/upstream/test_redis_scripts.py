"""Scripts of clients, and which servers have them."""

from __future__ import annotations

from hashlib import sha1

import pytest

from tests.upstream.redis_told import RedisWorld, body
from twisted_mesh.codec.resp import bulk, error, pack, simple
from twisted_mesh.upstream import redis_scripts
from twisted_mesh.upstream.redis_scripts import Scripts

SCRIPT = "return(1)"
SHA = sha1(SCRIPT.encode()).hexdigest()


def place_of(world: RedisWorld, key: str) -> int:
    world.call(f"GET {key}")
    ((number, _),) = world.texts()
    world.take()
    return number


def apart(world: RedisWorld) -> tuple[str, str]:
    first = place_of(world, "k0")
    return "k0", next(key for key in map("k{}".format, range(1, 99)) if place_of(world, key) != first)


def test_a_server_is_sent_the_script_that_another_one_has(shards: RedisWorld) -> None:
    here, there = apart(shards)
    pending = shards.call(f"EVAL {SCRIPT} 1 {here} a")
    (sent,) = shards.take()
    sent.reply(bulk(b"1"))
    assert body(pending) == bulk(b"1")
    shards.call(f"EVALSHA {SHA} 1 {here} a")
    shards.call(f"EVALSHA {SHA.upper()} 1 {there} a")
    shards.call(f"EVALSHA {SHA} 1 {there} a")
    texts = [text for _, text in shards.texts()]
    assert texts == [f"EVALSHA {SHA} 1 {here} a", f"EVAL {SCRIPT} 1 {there} a", f"EVALSHA {SHA} 1 {there} a"]


def test_what_is_not_known_is_for_servers_to_say(shards: RedisWorld) -> None:
    pending = shards.call(f"EVALSHA {SHA} 1 k")
    (sent,) = shards.take()
    assert sent.text == f"EVALSHA {SHA} 1 k"
    sent.reply(error("NOSCRIPT", "No matching script. Please use EVAL."))
    assert body(pending) == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"


def test_a_server_that_has_lost_a_script_is_sent_it_again(shards: RedisWorld) -> None:
    """A library that sends EVALSHA without end would have no answer else, as its own connection is not lost."""
    shards.call(f"EVAL {SCRIPT} 1 k")
    shards.take()
    pending = shards.call(f"EVALSHA {SHA.upper()} 1 k")
    (sent,) = shards.take()
    assert sent.text == f"EVALSHA {SHA.upper()} 1 k"
    sent.reply(error("NOSCRIPT", "No matching script. Please use EVAL."))
    assert body(pending) == b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
    pending.call.complete(0.0, pytest.fail)
    again = shards.call(f"EVALSHA {SHA} 1 k")
    (sent,) = shards.take()
    assert sent.text == f"EVAL {SCRIPT} 1 k"
    sent.reply(bulk(b"1"))
    again.call.complete(0.0, pytest.fail)
    other = shards.call(f"EVALSHA {SHA} 1 k")
    (sent,) = shards.take()
    assert sent.text == f"EVALSHA {SHA} 1 k"
    sent.reply(error("ERR", "of its own"))
    other.call.complete(0.0, pytest.fail)
    shards.call(f"EVALSHA {SHA} 1 k")
    assert [text for _, text in shards.texts()] == [f"EVALSHA {SHA} 1 k"]


def test_a_script_without_keys_may_go_to_any_server(shards: RedisWorld) -> None:
    shards.call(f"EVAL {SCRIPT} 0")
    shards.take()
    shards.call(f"EVALSHA {SHA} 0")
    (sent,) = shards.take()
    assert sent.text == f"EVAL {SCRIPT} 0"
    loading = shards.call(f"SCRIPT LOAD {SCRIPT}")
    for each in shards.take():
        each.reply(bulk(SHA.encode()))
    assert body(loading) == bulk(SHA.encode())
    shards.call(f"EVALSHA {SHA} 0")
    (sent,) = shards.take()
    assert sent.text == f"EVALSHA {SHA} 0"


def test_what_is_flushed_is_forgotten(shards: RedisWorld) -> None:
    here, there = apart(shards)
    shards.call(f"EVAL {SCRIPT} 1 {here}")
    shards.take()
    shards.call("SCRIPT FLUSH")
    for each in shards.take():
        each.reply(simple(b"OK"))
    shards.call(f"EVALSHA {SHA} 1 {there}")
    assert [text for _, text in shards.texts()] == [f"EVALSHA {SHA} 1 {there}"]


def test_a_transaction_leaves_nothing_at_a_server_for_sure() -> None:
    scripts = Scripts()
    assert scripts.fitted("EVAL", [b"EVAL", b"x", b"0"], ["a:1"], noted=True) is None
    words = [b"EVALSHA", sha1(b"x").hexdigest().encode(), b"0"]
    assert scripts.fitted("EVALSHA", words, ["b:1"], noted=False) == pack([b"EVAL", b"x", b"0"])
    assert scripts.fitted("EVALSHA_RO", words, ["b:1"], noted=True) == pack([b"EVAL_RO", b"x", b"0"])
    assert scripts.fitted("EVALSHA", words, ["b:1"], noted=False) is None


def test_no_more_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_scripts, "COUNT_LIMIT", 3)
    monkeypatch.setattr(redis_scripts, "SIZE_LIMIT", 100)

    def known(scripts: Scripts, text: bytes) -> bool:
        return scripts.fitted("EVALSHA", [b"", sha1(text).hexdigest().encode(), b"0"], [], noted=False) is not None

    scripts = Scripts()
    for text in (b"a", b"b", b"c"):
        scripts.loaded(text, [])
    assert known(scripts, b"a")
    scripts.loaded(b"d", [])
    assert [known(scripts, text) for text in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    scripts.loaded(b"x" * 98, [])
    assert [known(scripts, text) for text in (b"a", b"c", b"d", b"x" * 98)] == [False, True, True, True]
    scripts.loaded(b"y" * 101, [])
    assert not known(scripts, b"y" * 101)
    scripts.forget()
    assert repr(scripts) == "<Scripts 0, 0 bytes>"
