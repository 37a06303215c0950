from __future__ import annotations

from typing import Sequence, Union

import pytest

from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS, find
from twisted_mesh.codec.gather import GATHERED, gather
from twisted_mesh.codec.resp import array, bulk, integer

OK = b"+OK\r\n"


def merged(text: str, *replies: bytes, dice: float = 0.0) -> bytes:
    words = text.encode().split()
    command = find(words[0], words[1] if len(words) > 1 else None)
    assert command is not None
    return gather(command, words, replies, lambda: dice)


def listed(*items: Union[str, int, Sequence[int]]) -> bytes:
    return array(
        integer(each) if isinstance(each, int) else bulk(each.encode()) if isinstance(each, str) else listed(*each)
        for each in items
    )


def test_every_command_that_is_gathered_has_its_way() -> None:
    rows = [*COMMANDS, *(inner for each in COMMANDS for inner in each.subcommands.values())]
    assert {each.name for each in rows if each.kind is Kind.GATHER} == GATHERED


@pytest.mark.parametrize(
    ("command", "replies", "reply"),
    [
        ("DBSIZE", [integer(2), integer(0), integer(40)], integer(42)),
        ("FLUSHALL", [OK, OK], OK),
        ("KEYS *", [listed("a"), listed(), listed("b", "c")], listed("a", "b", "c")),
        ("KEYS *", [listed(), listed()], listed()),
        ("PUBSUB CHANNELS", [listed("a", "b"), listed("b", "c")], listed("a", "b", "c")),
        ("PUBSUB NUMSUB a b", [listed("a", 1, "b", 0), listed("a", 2, "b", 5)], listed("a", 3, "b", 5)),
        ("SCRIPT EXISTS x y", [listed(1, 1), listed(1, 0)], listed(1, 0)),
        ("SCRIPT LOAD x", [bulk(b"abc"), bulk(b"abc")], bulk(b"abc")),
        ("SCRIPT KILL", [b"-NOTBUSY none\r\n", OK], OK),
        ("SCRIPT KILL", [b"-NOTBUSY none\r\n", b"-UNKILLABLE it wrote\r\n"], b"-UNKILLABLE it wrote\r\n"),
        ("SCRIPT KILL", [b"-NOTBUSY none\r\n", b"-NOTBUSY none\r\n"], b"-NOTBUSY none\r\n"),
        ("WAIT 1 0", [integer(2), integer(1)], integer(1)),
        ("WAITAOF 1 1 0", [listed(1, 2), listed(0, 3)], listed(0, 2)),
        ("SLOWLOG GET 2", [listed((7, 100), (6, 90)), listed((3, 95))], listed((7, 100), (3, 95))),
        ("SLOWLOG GET -1", [listed((7, 100)), listed((3, 95))], listed((7, 100), (3, 95))),
        ("SLOWLOG GET", [listed(*((n, n) for n in range(8)))] * 2, listed(*((n // 2, n // 2) for n in range(15, 5, -1)))),
        ("MEMORY STATS", [listed("keys", 2, "ratio", "1.5"), listed("keys", 3, "ratio", "2")], listed("keys", 5, "ratio", "1.5")),
        ("MEMORY DOCTOR", [bulk(b"fine"), bulk(b"too")], bulk(b"# server 1 of 2\nfine\n# server 2 of 2\ntoo")),
        ("MEMORY DOCTOR", [b"=8\r\ntxt:fine\r\n"] * 2, b"=45\r\ntxt:# server 1 of 2\nfine\n# server 2 of 2\nfine\r\n"),
        ("FUNCTION STATS", [b"%2\r\n+r\r\n_\r\n+e\r\n%0\r\n", b"%2\r\n+r\r\n%1\r\n+a\r\n+b\r\n+e\r\n%0\r\n"], b"%2\r\n+r\r\n%1\r\n+a\r\n+b\r\n+e\r\n%0\r\n"),
        ("DBSIZE", [b"-LOADING x\r\n", integer(3)], b"-LOADING x\r\n"),
        ("DBSIZE", [b"-LOADING x\r\n", b"-LOADING x\r\n"], b"-LOADING x\r\n"),
        ("DBSIZE", [b"-LOADING x\r\n", b"-ERR y\r\n"], b"-ERR finished with 2 error(s)\r\n"),
        ("DBSIZE", [integer(3), bulk(b"3")], b"-ERR upstream protocol error\r\n"),
        ("KEYS *", [integer(3), listed()], b"-ERR upstream protocol error\r\n"),
        ("PUBSUB CHANNELS", [b"~1\r\n+a\r\n", b"~1\r\n+b\r\n"], b"~2\r\n+a\r\n+b\r\n"),
    ],
)  # fmt: skip
def test_replies_become_one(command: str, replies: list[bytes], reply: bytes) -> None:
    assert merged(command, *replies) == reply


def test_one_server_alone_is_passed_on() -> None:
    assert merged("DBSIZE", b"whatever") == b"whatever"


def test_a_random_key_is_one_of_all() -> None:
    replies = (bulk(b"a"), b"$-1\r\n", bulk(b"b"))
    assert [merged("RANDOMKEY", *replies, dice=dice) for dice in (0.0, 0.4, 0.6, 0.99)] == [
        bulk(each) for each in (b"a", b"a", b"b", b"b")
    ]
    assert merged("RANDOMKEY", b"$-1\r\n", b"$-1\r\n") == b"$-1\r\n"


def test_histograms_are_cumulative() -> None:
    def histogram(calls: int, *buckets: int) -> bytes:
        return array([bulk(b"calls"), integer(calls), bulk(b"histogram_usec"), listed(*buckets)])

    one = array([bulk(b"get"), histogram(5, 1, 2, 4, 5), bulk(b"set"), histogram(1, 8, 1)])
    two = array([bulk(b"get"), histogram(4, 2, 3, 16, 4)])
    expected = [bulk(b"get"), histogram(9, 1, 2, 2, 5, 4, 8, 16, 9), bulk(b"set"), histogram(1, 8, 1)]
    assert merged("LATENCY HISTOGRAM", one, two) == array(expected)
