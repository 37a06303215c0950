"""Commands of Redis that matches may tell apart do not travel together."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.apart import FEW, Matches, by_key
from twisted_mesh.policy.match import Conditions, compile_match


def matches(*asked: Conditions) -> Matches:
    made = Matches()
    for each in asked:
        made.add(each)
    return made


@pytest.mark.parametrize(
    ("asked", "together"),
    [
        (Conditions(key_prefix="a"), False),
        (Conditions(key_exact="a1"), False),
        (Conditions(key_glob="?1"), True),
        (Conditions(key_glob="*a*"), False),
        (Conditions(key_regex="[a-m]+1"), False),
        (Conditions(key_regex="[a-z]+1"), True),
        (Conditions(key_prefix="a", sources=["10.0.0.0/8"], identities=["x"], percent=5.0), False),
        (Conditions(methods=["GET"]), True),
        (Conditions(sources=["10.0.0.0/8"]), True),
    ],
)
def test_keys_are_told_apart_where_a_match_may(asked: Conditions, together: bool) -> None:
    made = matches(asked, Conditions())
    assert (made("GET", b"a1") == made("GET", b"z1")) is together


def test_commands_are_told_apart_where_a_match_may() -> None:
    made = matches(Conditions(methods=["GET", "MGET"]))
    assert made("GET", b"a") == made("MGET", b"b")
    assert made("GET", b"a") != made("STRLEN", b"a")


def test_what_is_behind_a_match_for_everything_decides_nothing() -> None:
    made = matches(Conditions(key_prefix="a"), Conditions(), Conditions(key_prefix="b"))
    assert len(made) == 1
    assert made("GET", b"b") == made("GET", b"c")
    # One for some addresses only is none for everything.
    assert len(matches(Conditions(sources=["10.0.0.0/8"]), Conditions(key_prefix="b"))) == 1


def test_nobody_looks_at_commands() -> None:
    assert len(matches(Conditions(), Conditions(ports=[6379]))) == 0


def test_bytes_that_are_no_text_are_keys_as_well() -> None:
    made = matches(Conditions(key_prefix="a"))
    assert made("GET", b"\xff") == made("GET", b"\xfe") == made("PING", None) != made("GET", b"a\xff")


def test_by_key() -> None:
    assert by_key("GET", b"a") == by_key("SET", b"a") != by_key("GET", b"b")


_KEYS = st.text("ab:", max_size=4)
_METHODS: st.SearchStrategy[tuple[str, ...]] = st.sampled_from([(), ("GET",)])
_ASKED = st.one_of(
    st.tuples(st.text("ab:", min_size=1, max_size=3), _METHODS).map(
        lambda of: Conditions(key_prefix=of[0], methods=of[1])
    ),
    st.tuples(_KEYS, _METHODS).map(lambda of: Conditions(key_exact=of[0], methods=of[1])),
    _METHODS.map(lambda methods: Conditions(methods=methods)),
)


@given(st.lists(_ASKED, max_size=2 * FEW), _KEYS, _KEYS, st.sampled_from(["GET", "SET"]))
def test_what_travels_together_has_the_same_matches(asked: list[Conditions], one: str, two: str, name: str) -> None:
    """With few matches, and with so many that they have an index."""
    made = matches(*asked)
    first, second = _holding(asked, "GET", one), _holding(asked, name, two)
    if made("GET", one.encode()) == made(name, two.encode()):
        assert first == second
    elif Conditions() not in asked:
        assert first != second


def _holding(asked: list[Conditions], name: str, key: str) -> list[bool]:
    """Which of the matches hold, up to the first for everything."""
    found = []
    for each in asked:
        test = compile_match(each)
        found.append(test is None or test(_Command(name, key)))
        if test is None:
            break
    return found


class _Command:
    host = query = client = ""
    port = 0
    identity: Optional[str] = None

    def __init__(self, name: str, key: str) -> None:
        self.operation = name
        self.resource = key

    @property
    def headers(self) -> _Command:
        return self

    def get_all(self, name: str) -> list[str]:
        return []
