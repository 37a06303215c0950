"""Inline commands, word by word."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.resp_inline import split_inline


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []), (b" \t\r", []), (b"PING", [b"PING"]), (b"  SET  k v\r", [b"SET", b"k", b"v"]), (b"a\tb\vc\fd\v", [b"a", b"b\vc\fd\v"]),
        (b"\va \f'b'\v\"c\"\fd\v", [b"a", b"b", b"c", b"d\v"]),
        (b'"a b" c', [b"a b", b"c"]), (b"'a b'", [b"a b"]), (b'""', [b""]), (b"'' x", [b"", b"x"]), (b'a"b c"', [b"ab c"]), (b"a'b'", [b"ab"]),
        (rb'"\x41\n\r\t\b\a\"\\\q\xZ"', [b'A\n\r\t\b\a"\\qxZ']), (rb"'\'\n\\'", None), (rb"'\'\n\x'", [rb"'\n\x"]),
        (b"\\x41", [b"\\x41"]), ("é".encode(), ["é".encode()]), (b"'\x00'", [b"\x00"]),
        (b'"a', None), (b"'a", None), (b'a"', None), (b'"a"b', None), (b"'a'b", None), (b'"a\\"', None), (b'"a""b"', None),
    ],
)  # fmt: skip
def test_words(line: bytes, words: Optional[list[bytes]]) -> None:
    assert split_inline(line) == words


@given(st.lists(st.binary(max_size=10), max_size=5))
def test_any_bytes_can_be_quoted(words: list[bytes]) -> None:
    line = b" ".join(b'"' + b"".join(b"\\x%02x" % each for each in word) + b'"' for word in words)
    assert split_inline(line) == words


@given(st.binary(max_size=80))
def test_every_line_is_split_or_refused(line: bytes) -> None:
    words = split_inline(line)
    assert words is None or sum(map(len, words)) <= len(line)
