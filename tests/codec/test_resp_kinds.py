"""The types of replies are told apart by one byte, and each is read in one way."""

from __future__ import annotations

import pytest

from twisted_mesh.codec.resp_kinds import AGGREGATES, KINDS, LINES, NULLABLE, STRINGS
from twisted_mesh.codec.resp_reply import ReplyReader


def test_each_type_is_of_one_kind() -> None:
    assert len(LINES) + len(STRINGS) + len(AGGREGATES) == len(KINDS) == 15
    assert KINDS >= NULLABLE


@pytest.mark.parametrize("kind", range(256))
def test_what_begins_a_reply_is_one_of_them(kind: int) -> None:
    """An empty one of each: a line, a string of no bytes, an aggregate of no elements (an attribute belongs to the next)."""
    reader = ReplyReader()
    text = b"%c0\r\n" % kind + (b"\r\n" if kind in STRINGS else b"")
    found = reader.feed(text + b"+\r\n")
    if kind not in KINDS:
        assert (found, reader.error is not None) == ([], True)
    elif kind == ord("|"):
        assert found == [(ord("+"), 0, len(text) + 3)]
    else:
        assert found == [(kind, 0, len(text)), (ord("+"), len(text), len(text) + 3)]


@pytest.mark.parametrize("kind", sorted(KINDS - LINES))
def test_only_a_string_and_an_array_may_be_null_by_their_length(kind: int) -> None:
    reader = ReplyReader()
    found = reader.feed(b"%c-1\r\n" % kind)
    assert bool(found) == (kind in NULLABLE)
    assert (reader.error is None) == (kind in NULLABLE)
