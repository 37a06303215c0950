"""The hash functions that Redis and memcached clients and proxies place keys by.

All give 32 bits, and the ones that libmemcached's libhashkit and twemproxy give, quirks included, so that keys are
looked for where another proxy has put them: FNV-1a "64" is computed in 32 bits, and what was written for the signed
`char` of C takes a byte of 128 or more as a negative number.
"""

from __future__ import annotations

from binascii import crc32, crc_hqx
from hashlib import md5 as _md5
from typing import Callable, Final

import xxhash

_ALL: Final = 0xFFFFFFFF
_FNV_64_INIT: Final = 0xCBF29CE484222325
_FNV_64_PRIME: Final = 0x100000001B3
_FNV_32_INIT: Final = 0x811C9DC5
_FNV_32_PRIME: Final = 0x01000193

# Bytes as a signed `char` widened to 32 bits.
_SIGNED: Final = [each if each < 128 else each + 0xFFFFFF00 for each in range(256)]
# The same, widened to 64 bits.
_SIGNED_64: Final = [each if each < 128 else each + 0xFFFFFFFFFFFFFF00 for each in range(256)]
_CRC16: Final = [crc_hqx(bytes((each,)), 0) for each in range(256)]


def fnv1a_64(key: bytes) -> int:
    """FNV-1a with the lower halves of the 64-bit parameters; twemproxy's default."""
    value = _FNV_64_INIT & _ALL
    for each in key:
        value = ((value ^ _SIGNED[each]) * 0x1B3) & _ALL
    return value


def fnv1_64(key: bytes) -> int:
    """FNV-1 in 64 bits, of which the lower 32 count."""
    value = _FNV_64_INIT
    for each in key:
        value = ((value * _FNV_64_PRIME) & 0xFFFFFFFFFFFFFFFF) ^ _SIGNED_64[each]
    return value & _ALL


def fnv1_32(key: bytes) -> int:
    """FNV-1 in 32 bits."""
    value = _FNV_32_INIT
    for each in key:
        value = ((value * _FNV_32_PRIME) & _ALL) ^ _SIGNED[each]
    return value


def fnv1a_32(key: bytes) -> int:
    """FNV-1a in 32 bits."""
    value = _FNV_32_INIT
    for each in key:
        value = ((value ^ _SIGNED[each]) * _FNV_32_PRIME) & _ALL
    return value


def md5(key: bytes) -> int:
    """The first four bytes of MD5 (RFC 1321), least significant first."""
    return int.from_bytes(_md5(key, usedforsecurity=False).digest()[:4], "little")


def libmemcached_crc32(key: bytes) -> int:
    """Fifteen bits of CRC-32: what libmemcached calls crc32."""
    return crc32(key) >> 16 & 0x7FFF


def crc16(key: bytes) -> int:
    """CRC-16/XMODEM over a register that keeps 32 bits, as in twemproxy 0.5: the lower half is what Redis computes."""
    value = 0
    for each in key:
        value = (value << 8 & _ALL) ^ _CRC16[(value >> 8 ^ each) & 0xFF]
    return value


def one_at_a_time(key: bytes) -> int:
    """Bob Jenkins' hash of that name (Dr. Dobb's Journal, 1997)."""
    value = 0
    for each in key:
        value = (value + _SIGNED[each]) & _ALL
        value = (value + (value << 10)) & _ALL
        value ^= value >> 6
    value = (value + (value << 3)) & _ALL
    value ^= value >> 11
    return (value + (value << 15)) & _ALL


def murmur(key: bytes) -> int:
    """Austin Appleby's MurmurHash2 with the seed that libmemcached makes of the key's length."""
    times, size = 0x5BD1E995, len(key)
    value = (0xDEADBEEF * size & _ALL) ^ size
    whole = size & ~3
    for place in range(0, whole, 4):
        word = int.from_bytes(key[place : place + 4], "little") * times & _ALL
        word = (word ^ word >> 24) * times & _ALL
        value = (value * times & _ALL) ^ word
    if size & 3:
        value = (value ^ int.from_bytes(key[whole:], "little")) * times & _ALL
    value = (value ^ value >> 13) * times & _ALL
    return value ^ value >> 15


def hsieh(key: bytes) -> int:
    """Paul Hsieh's SuperFastHash, from 0."""
    value, size = 0, len(key)
    if not size:
        return 0
    whole = size & ~3
    for place in range(0, whole, 4):
        value = (value + int.from_bytes(key[place : place + 2], "little")) & _ALL
        other = int.from_bytes(key[place + 2 : place + 4], "little") << 11 ^ value
        value = (value << 16 ^ other) & _ALL
        value = (value + (value >> 11)) & _ALL
    return _hsieh_end(_hsieh_rest(value, key[whole:]))


def _hsieh_rest(value: int, rest: bytes) -> int:
    if len(rest) == 1:
        value = (value + rest[0]) & _ALL
        value ^= value << 10 & _ALL
        return (value + (value >> 1)) & _ALL
    if len(rest) >= 2:
        value = (value + int.from_bytes(rest[:2], "little")) & _ALL
    if len(rest) == 2:
        value ^= value << 11 & _ALL
        return (value + (value >> 17)) & _ALL
    if len(rest) == 3:
        value ^= value << 16 & _ALL
        value ^= _SIGNED[rest[2]] << 18 & _ALL
        return (value + (value >> 11)) & _ALL
    return value


def _hsieh_end(value: int) -> int:
    for left, right in ((3, 5), (4, 17), (25, 6)):
        value ^= value << left & _ALL
        value = (value + (value >> right)) & _ALL
    return value


def jenkins(key: bytes) -> int:
    """Bob Jenkins' lookup3 (2006), begun with 13."""
    size = len(key)
    a = b = c = (0xDEADBEEF + size + 13) & _ALL
    place = 0
    while size - place > 12:
        a, b, c = _jenkins_add(a, b, c, key[place : place + 12])
        a, b, c = _jenkins_mix(a, b, c)
        place += 12
    if place == size:
        return c
    return _jenkins_final(*_jenkins_add(a, b, c, key[place:]))


def _jenkins_add(a: int, b: int, c: int, piece: bytes) -> tuple[int, int, int]:
    first, second, third = (int.from_bytes(piece[start : start + 4], "little") for start in (0, 4, 8))
    return (a + first) & _ALL, (b + second) & _ALL, (c + third) & _ALL


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _ALL


def _jenkins_mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _ALL) ^ _turned(c, bits)
        c = (c + b) & _ALL
        # The same step again, with the three having changed places.
        a, b, c = b, c, a
    return a, b, c


def _jenkins_final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, bits)) & _ALL
        a, b, c = b, c, a
    return b


def xxh64(key: bytes) -> int:
    """The lower half of xxHash64: the fastest of all here, for where nothing has to be found again."""
    return xxhash.xxh64_intdigest(key) & _ALL


KEY_HASHES: dict[str, Callable[[bytes], int]] = {
    "fnv1a_64": fnv1a_64,
    "fnv1_64": fnv1_64,
    "fnv1a_32": fnv1a_32,
    "fnv1_32": fnv1_32,
    "md5": md5,
    "crc16": crc16,
    "crc32": libmemcached_crc32,
    "crc32a": crc32,
    "one_at_a_time": one_at_a_time,
    "murmur": murmur,
    "hsieh": hsieh,
    "jenkins": jenkins,
    "xxh64": xxh64,
}
"""By the names that twemproxy gives them; xxh64 is ours alone."""
