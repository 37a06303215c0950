"""A cache of replies, against a model that forgets nothing, and its bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.key_cache import KeyCache


def put(cache: KeyCache, key: bytes, reply: bytes, now: float = 0.0, question: Any = "GET") -> bool:
    return cache.answer(key, cache.ask(key), question, reply, now)


def test_what_was_answered_is_known_until_it_changes_or_is_old() -> None:
    cache = KeyCache(100_000, 10.0)
    assert put(cache, b"a", b"1")
    assert put(cache, b"a", b"2", question="STRLEN")
    assert (cache.get(b"a", "GET", 5.0), cache.get(b"a", "STRLEN", 5.0)) == (b"1", b"2")
    assert cache.get(b"b", "GET", 5.0) is None
    cache.forget(b"a")
    assert cache.get(b"a", "GET", 5.0) is None
    assert cache.held == 0
    put(cache, b"a", b"1", 5.0)
    assert cache.get(b"a", "GET", 14.9) == b"1"
    assert cache.get(b"a", "GET", 15.0) is None
    assert len(cache) == 0


def test_a_change_while_it_is_asked_makes_the_answer_worthless() -> None:
    cache = KeyCache(100_000, 10.0)
    first, second = cache.ask(b"a"), cache.ask(b"a")
    assert cache.answer(b"a", first, "GET", b"1", 0.0)
    cache.forget(b"a")
    late = cache.ask(b"a")
    assert not cache.answer(b"a", second, "GET", b"1", 0.0)
    assert cache.get(b"a", "GET", 0.0) is None
    assert cache.answer(b"a", late, "GET", b"2", 0.0)
    token = cache.ask(b"b")
    cache.clear()
    assert not cache.answer(b"b", token, "GET", b"1", 0.0)


def test_the_longest_unused_go_first() -> None:
    cache = KeyCache(10_000, 10.0)
    for number in range(20):
        put(cache, b"%d" % number, b"x" * 100)
        cache.get(b"0", "GET", 0.0)
    assert cache.held <= 10_000
    for number in range(20, 60):
        put(cache, b"%d" % number, b"x" * 100)
        cache.get(b"0", "GET", 0.0)
    assert cache.get(b"0", "GET", 0.0) is not None
    assert cache.get(b"1", "GET", 0.0) is None
    assert not put(cache, b"large", b"x" * 5000)


def test_a_failure_ends_asking() -> None:
    cache = KeyCache(1000, 10.0)
    assert not cache.answer(b"a", cache.ask(b"a"), "GET", None, 0.0)
    assert not cache._asked


actions = st.lists(
    st.tuples(st.sampled_from(["ask", "answer", "forget", "get", "clear"]), st.sampled_from([b"a", b"b", b"c"])),
    max_size=60,
)


@given(actions)
def test_nothing_stale_is_ever_given(steps: list[tuple[str, bytes]]) -> None:
    """Each key has a version that `forget` and `clear` raise; what is got was asked for at the present one."""
    cache = KeyCache(100_000, 1e9)
    version = dict.fromkeys([b"a", b"b", b"c"], 0)
    asked: dict[bytes, list[Any]] = {key: [] for key in version}
    for action, key in steps:
        if action == "ask":
            asked[key].append((cache.ask(key), version[key]))
        elif action == "answer" and asked[key]:
            token, seen = asked[key].pop(0)
            cache.answer(key, token, "GET", b"%d" % seen, 0.0)
        elif action == "forget":
            cache.forget(key)
            version[key] += 1
        elif action == "clear":
            cache.clear()
            version = {each: number + 1 for each, number in version.items()}
        else:
            got = cache.get(key, "GET", 0.0)
            assert got is None or got == b"%d" % version[key]
    assert cache.held >= 0
