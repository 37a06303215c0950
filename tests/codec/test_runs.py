"""Strings of one size that follow each other are passed in one go; whatever stands in them or behind them."""

from __future__ import annotations

from typing import Sequence

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.resp import arguments, array, bulk, pack
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_request import RequestReader

# Few sizes, and what looks like protocol.
_STRINGS = st.lists(st.sampled_from([b"", b"aa", b"bb", b"\r\n", b"$2\r\n", b"$2\r\naa\r\n", b"x" * 9]), max_size=40)


@given(_STRINGS, st.integers(0, 400))
def test_commands_in_two_pieces(words: Sequence[bytes], cut: int) -> None:
    commands = [[b"MGET", b"k", *words], [b"SET", b"k", b"v"]]
    data = b"".join(map(pack, commands))
    reader = RequestReader()
    found = []
    for piece in (data[:cut], data[cut:]):
        for *_, start, end in reader.feed(piece):
            found.append(arguments(reader.data[start:end]))
    assert found == commands


@given(_STRINGS, _STRINGS, st.integers(0, 400))
def test_replies_in_two_pieces(first: Sequence[bytes], second: Sequence[bytes], cut: int) -> None:
    replies = [array(map(bulk, first)), array(map(bulk, second))]
    data = b"".join(replies)
    reader = ReplyReader()
    found = []
    for piece in (data[:cut], data[cut:]):
        for _, start, end in reader.feed(piece):
            found.append(reader.data[start:end])
    assert found == replies
