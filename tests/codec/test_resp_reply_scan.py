"""Whole replies are found in one go: what is flat, as far as it goes, and where each of its elements ends."""

from __future__ import annotations

from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.resp import array, bulk, integer, run_of
from twisted_mesh.codec.resp_kinds import ARRAY, BULK, INTEGER, SIMPLE
from twisted_mesh.codec.resp_reply_scan import Answer, flat, scan

# Few sizes, and what looks like protocol.
_STRINGS = st.lists(st.sampled_from([b"", b"aa", b"bb", b"\r\n", b"$2\r\n", b"$2\r\naa\r\n", b"x" * 9]), max_size=40)


@pytest.mark.parametrize("rest", [b"", b"+", b"$3\r\nab", b"*1\r\n*0\r\n", b"%0\r\n", b"nonsense\r\n", b"$1\r\nab\r\n"])
def test_it_stops_where_a_reply_is_unfinished_or_unusual_or_wrong(rest: bytes) -> None:
    replies = [b"+OK\r\n", b"+OK\r\n", integer(7), bulk(b"ab"), array([bulk(b"ab"), integer(1)])]
    data = b"".join(replies)
    found: list[Answer] = []
    assert scan(data + rest, 0, found) == len(data)
    assert [kind for kind, _, _ in found] == [SIMPLE, SIMPLE, INTEGER, BULK, ARRAY]
    assert [data[start:end] for _, start, end in found] == replies


@given(_STRINGS, st.integers(0, 40))
def test_every_end_is_told(strings: Sequence[bytes], most: int) -> None:
    data = b"".join(map(bulk, strings))
    ends: list[int] = []
    position, left = flat(data, 0, most, ends)
    count = min(most, len(strings))
    assert left == most - count
    expected = [sum(len(bulk(each)) for each in strings[: at + 1]) for at in range(count)]
    assert ends == expected
    assert position == (expected[-1] if expected else 0)


def test_a_run_ends_where_another_size_begins() -> None:
    data = bulk(b"aa") * 2000 + bulk(b"bbb")
    run = run_of(b"$2\r\n", 2)(data, 0)
    assert run is not None
    assert run.end() == 1024 * len(bulk(b"aa"))
    assert flat(data, 0, 3000) == (len(data), 999)
