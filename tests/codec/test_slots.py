"""Slots and hash tags, against the server's own table and the examples of the specification."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twisted_mesh.codec.slots import SLOTS, hash_tag, slot

TABLE = Path(__file__).parents[1] / "corpora/redis-crc16/slot_to_key.json"


def test_a_key_for_every_slot() -> None:
    keys = json.loads(TABLE.read_text("utf-8"))
    assert [slot(key.encode()) for key in keys] == list(range(SLOTS))


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        (b"{user1000}.following", b"user1000"), (b"foo{}{bar}", b"foo{}{bar}"), (b"foo{{bar}}zap", b"{bar"), (b"foo{bar}{zap}", b"bar"),
        (b"foo{bar", b"foo{bar"), (b"foo}bar{", b"foo}bar{"), (b"", b""), (b"{}", b"{}"), (b"}{a}", b"a"),
    ],
)  # fmt: skip
def test_hash_tags(key: bytes, tag: bytes) -> None:
    assert hash_tag(key) == tag
    assert slot(key) == slot(tag if b"{" not in tag else key)
