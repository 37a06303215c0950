"""Which part of a key decides where it lives: hash tags, and the 16,384 slots of Redis Cluster.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model
"""

from __future__ import annotations

from binascii import crc_hqx

SLOTS = 16_384


def hash_tag(key: bytes) -> bytes:
    """Return what of a key is hashed: what stands between its first ``{`` and the next ``}``, else all of it."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def slot(key: bytes) -> int:
    """Return the slot of a key: CRC16 (XMODEM) of what is hashed, modulo 16,384."""
    return crc_hqx(hash_tag(key), 0) % SLOTS
