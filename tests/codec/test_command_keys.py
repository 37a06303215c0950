"""Where keys stand, as COMMAND GETKEYS of a server says, for an example of every form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import Refused, Server
from twisted_mesh.codec.command_keys import spec_from_text
from twisted_mesh.codec.commands import COMMANDS, find

EXAMPLES = """
GET k
SET k v EX 10
MSET a 1 b 2
MGET a b c
DEL a b
RENAME a b
BITOP AND dst a b
SORT k BY w_* GET # DESC
SORT k STORE dst
SORT k STORE one STORE two
SORT_RO k LIMIT 0 1
EVAL script 2 a b arg
EVAL script 0 arg
EVALSHA_RO sha 1 a
FCALL f 1 a x
XREAD COUNT 2 STREAMS a b 0 0
XREAD BLOCK 10 streams a 0
XREADGROUP GROUP g c STREAMS a b > >
ZUNIONSTORE dst 2 a b WEIGHTS 1 2
ZUNION 2 a b
ZINTERCARD 2 a b LIMIT 1
LMPOP 2 a b LEFT
BLMPOP 0 2 a b LEFT
BLPOP a b 0
BZPOPMIN a 0
GEORADIUS k 0 0 1 km STORE dst
GEORADIUS k 0 0 1 km STOREDIST dst
GEORADIUS k 0 0 1 km
GEORADIUS k 0 0 1 km STORE one STORE two
GEORADIUS k 0 0 1 km COUNT 1 STOREDIST store ASC
GEORADIUSBYMEMBER k m 1 km STORE one COUNT 5 ANY STORE two
GEOSEARCHSTORE dst src FROMMEMBER m BYRADIUS 1 km
COPY a b
LMOVE a b LEFT RIGHT
SMOVE a b m
PFMERGE a b c
PFCOUNT a b
OBJECT ENCODING k
MEMORY USAGE k
XGROUP CREATE k g $
XINFO STREAM k
MIGRATE host 1 k 0 10
MIGRATE host 1 '' 0 10 KEYS a b
HSET k f v
WATCH a b
MSETNX a 1 b 2
LCS a b
ZRANGESTORE dst src 0 1
SINTERSTORE dst a b
SINTERCARD 2 a b
ZDIFF 1 a
TOUCH a
SETRANGE k 0 v
HRANDFIELD k
XADD k * f v
XCLAIM k g c 0 0-1
XAUTOCLAIM k g c 0 0
DUMP k
EXPIRE k 1
""".strip().splitlines()


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_server_finds_the_same_keys(server: Server, line: str) -> None:
    words = [b"" if word == "''" else word.encode() for word in line.split()]
    command = find(words[0], words[1])
    assert command is not None
    try:
        theirs = list(server("COMMAND", "GETKEYS", *words))
    except Refused as refused:
        assert "no key arguments" in str(refused)
        theirs = []
    # MIGRATE's empty word in the place of a key is none.
    assert sorted(words[place] for place in command.keys(words) if words[place]) == sorted(theirs)


def test_every_form_of_a_specification_has_an_example() -> None:
    seen = {str(spec)[1:] for line in EXAMPLES for spec in found(line)}
    forms = {str(spec)[1:] for command in COMMANDS for spec in command.specs if command.name not in ("CLUSTERSCAN",)}
    assert len(forms - seen) <= 6, forms - seen


def found(line: str) -> tuple[object, ...]:
    words = line.encode().split()
    command = find(words[0], words[1])
    assert command is not None
    return command.specs


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("JSON.MGET a b c $", [1, 2, 3]), ("JSON.MSET a $ 1 b $ 2", [1, 4]), ("JSON.SET a $ 1", [1]), ("BF.MADD a x y", [1]),
        ("CMS.MERGE d 2 a b WEIGHTS 1 2", [1, 3, 4]), ("TDIGEST.MERGE d 1 a", [1, 3]), ("VSIM a ELE b", [1]), ("XDELEX a IDS 1 1-1", [1]),
    ],
)  # fmt: skip
def test_keys_of_modules(words: str, places: list[int]) -> None:
    """Whose servers tell of one key only where there are several."""
    command = find(words.partition(" ")[0].encode())
    assert command is not None and command.keys(words.encode().split()) == places


def test_a_channel_decides_the_server() -> None:
    command = find(b"SSUBSCRIBE")
    assert command is not None and command.keys([b"SSUBSCRIBE", b"a", b"b"]) == [1, 2]


@pytest.mark.parametrize(
    "words", ["EVAL s 3 a", "EVAL s -1 a", "EVAL s x a", "ZUNION 99999999999 a", "XREAD STREAMS", "GET"]
)
def test_numbers_that_are_none_give_no_keys(words: str) -> None:
    command = find(words.partition(" ")[0].encode())
    assert command is not None and command.keys(words.encode().split()) == []


@given(
    st.sampled_from(COMMANDS),
    st.lists(st.sampled_from([b"1", b"2", b"a", b"STREAMS", b"KEYS", b"STORE", b""]), max_size=8),
)
def test_whatever_is_sent_keys_stand_among_the_words(command: object, words: list[bytes]) -> None:
    places = command.keys([b"X", *words])  # type: ignore[attr-defined]
    assert all(0 < place <= len(words) for place in places)


def test_text_and_back() -> None:
    for text in ("r:1:r0,1,0", "w:STORE@6:r0,1,0", "r:2:n0,1,1", "w:KEYS@-2:r-1,1,0"):
        assert str(spec_from_text(text)) == text
