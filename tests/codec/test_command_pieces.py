"""Commands of many keys in pieces: what each server gets and the client hears is what it would be without."""

from __future__ import annotations

from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.command_pieces import all_words, divided, merged, pieces_of, word_of
from twisted_mesh.codec.command_split import merge, split
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import NULL, OK, array, bulk, error, integer, pack

# What might be taken for the border between two pieces, or for another word.
TRAPS = st.sampled_from(
    [b"", b"a", b"$", b"\r\n$", b"\r\n$1\r\nb", b"x\r\n", b"$-1\r\n", b"-1", b"y" * 1020, b"z" * 3000]
)
WORDS = st.lists(st.one_of(TRAPS, st.binary(max_size=12)), min_size=1, max_size=12)
VALUES = st.one_of(st.none(), TRAPS, st.binary(max_size=12))
REPLIES = VALUES.map(lambda value: NULL if value is None else bulk(value))
ODD = st.one_of(st.just(b":1\r\n"), st.just(b"-ERR a\r\n"), st.just(b"*1\r\n:1\r\n"), st.just(b"_\r\n"))


def named(name: bytes) -> Command:
    command = find(name)
    assert command is not None
    return command


def has_border(word: bytes) -> bool:
    """Whether it is not one piece, as the border between two is in it, or ends at its beginning."""
    return b"\r\n$" in b"\r\n" + word


def owner(word: bytes) -> int:
    return sum(word) % 3


def owners(keys: Sequence[bytes]) -> list[int]:
    return [owner(key) for key in keys]


@given(WORDS)
def test_pieces_that_are_words_are_the_words(words: list[bytes]) -> None:
    pieces = pieces_of(pack(words))
    plain = not any(has_border(word) or len(word) > 1023 for word in words)
    assert all_words(pieces[1:]) == plain
    if plain:
        assert [word_of(each) for each in pieces[1:]] == words
        assert pieces[0] == b"*%d" % len(words)


@pytest.mark.parametrize(
    "piece", [b"", b"-1", b"1\r\n", b"1\r\nab", b"01\r\na", b"2\r\na", b"1\n\na", b"1024\r\n" + b"a" * 1024]
)
def test_what_is_no_word(piece: bytes) -> None:
    assert word_of(piece) is None
    assert not all_words([piece])
    assert not all_words([piece, piece])
    assert not all_words([b"1\r\na", piece])


@pytest.mark.parametrize("name", [b"MGET", b"MSET", b"unlink"])
@given(words=WORDS)
def test_each_server_gets_what_it_would_get(name: bytes, words: list[bytes]) -> None:
    command = named(name)
    step = command.specs[0].step
    words = words * step
    pieces = pieces_of(pack([name, *words]))
    if not all_words(pieces[1:]):
        return
    numbers = bytes(owners(words[::step]))
    for part in split(command, [name, *words], owners):
        assert divided(pieces[1], pieces[2:], numbers, part.owner, step) == part.data


@given(WORDS, st.data())
def test_values_are_put_together_as_they_would_be(words: list[bytes], data: st.DataObject) -> None:
    parts = split(named(b"MGET"), [b"MGET", *words], owners)
    values = [[data.draw(VALUES) for _ in part.places] for part in parts]
    replies = [array([NULL if each is None else bulk(each) for each in mine]) for mine in values]
    together = merged("MGET", bytes(owners(words)), {part.owner: reply for part, reply in zip(parts, replies)})
    if any(has_border(each or b"") for mine in values for each in mine):
        assert together is None
    else:
        assert together == (merge(named(b"MGET"), parts, replies) if len(parts) > 1 else replies[0])


@given(WORDS, st.data())
def test_what_is_no_array_of_strings_goes_the_long_way(words: list[bytes], data: st.DataObject) -> None:
    """Even where a value makes up for it: nothing that a server says moves what another one has said."""
    parts = split(named(b"MGET"), [b"MGET", *words], owners)
    replies = []
    for part in parts:
        elements = [data.draw(st.one_of(REPLIES, ODD)) for _ in part.places]
        elements[0] = data.draw(ODD)
        replies.append(array(elements))
    replies[-1] = data.draw(st.sampled_from([replies[-1], b"-ERR no\r\n", b":1\r\n", b"*0\r\n", b"*-1\r\n"]))
    assert merged("MGET", bytes(owners(words)), {part.owner: reply for part, reply in zip(parts, replies)}) is None


def test_a_value_that_makes_up_for_a_number_moves_nothing() -> None:
    """Two elements and two borders, of which one is inside of a value."""
    reply = b"*2\r\n$6\r\na\r\n$0b\r\n:1\r\n"
    assert reply.count(b"\r\n$") == 2
    assert merged("MGET", bytes([0, 0]), {0: reply}) is None
    large = b"*2\r\n$5006\r\n" + b"a" * 5000 + b"\r\n$0\r\n:1\r\n"
    assert merged("MGET", bytes([0, 0]), {0: large}) is None


def test_large_values_are_put_together() -> None:
    values = [b"v" * 5000, b"w", None, b"x" * 2000]
    replies = {0: array([bulk(values[0] or b""), NULL]), 1: array([bulk(b"w"), bulk(b"x" * 2000)])}
    expected = array([NULL if each is None else bulk(each) for each in values])
    assert merged("MGET", bytes([0, 1, 0, 1]), replies) == expected


def test_what_others_say_is_added_up() -> None:
    assert merged("DEL", bytes([0, 1, 1]), {0: b":1\r\n", 1: b":2\r\n"}) == integer(3)
    assert merged("MSET", bytes([0, 1]), {0: OK, 1: OK}) == OK
    for reply in (error("ERR", "no"), b"+OK\r\n", b":-1\r\n", b"$1\r\n1\r\n"):
        assert merged("EXISTS", bytes([0, 1]), {0: b":1\r\n", 1: reply}) is None
    assert merged("MSET", bytes([0, 1]), {0: OK, 1: error("OOM", "no")}) is None
