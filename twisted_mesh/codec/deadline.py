"""How long a caller waits, as header fields say it, and how that is written for the next hop.

Three are understood: ``grpc-timeout`` (PROTOCOL-HTTP2 of gRPC: up to eight digits and one of H, M, S, m, u, n),
``x-mesh-timeout`` (as durations are written everywhere here: ``250ms``, ``2s``, ``1m30s``), and
``x-envoy-expected-rq-timeout-ms`` (milliseconds, from an Envoy in front).  All are counted from when the request was
sent, so that nobody's clocks need to agree.
"""

from __future__ import annotations

import math
import re
from typing import Callable, Iterable, NamedTuple, Optional, Sequence

from twisted_mesh.codec.lines import DEADLINE, Field

OURS = b"x-mesh-timeout"
# The longest wait that means anything; it keeps sums of times far away from infinity.
LONGEST = 366 * 86400.0

_GRPC = re.compile(rb"(\d{1,8})([HMSmun])")
_GRPC_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_GRPC_MOST = 99_999_999
_OURS = re.compile(rb"(?:(\d{1,6})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,12}(?:\.\d{1,6})?)ms)?")
_MILLISECONDS = re.compile(rb"\d{1,12}")


class _Style(NamedTuple):
    """One field: how its value is read (None: it is malformed), and written."""

    read: Callable[[bytes], Optional[float]]
    write: Callable[[float], bytes]


def _read_grpc(value: bytes) -> Optional[float]:
    found = _GRPC.fullmatch(value)
    return None if found is None else int(found[1]) * _GRPC_UNITS[found[2]]


def _write_grpc(seconds: float) -> bytes:
    for factor, unit in ((1e6, b"u"), (1e3, b"m"), (1.0, b"S")):
        count = math.floor(seconds * factor)
        # Four digits are precise enough, and more than eight are not allowed.
        if 1000 <= count <= _GRPC_MOST or (unit == b"u" and count < 1000):
            return b"%d%b" % (max(1, count), unit)
    return b"%dS" % min(_GRPC_MOST, math.floor(seconds))


def _read_ours(value: bytes) -> Optional[float]:
    if value == b"0":
        return 0.0
    found = _OURS.fullmatch(value)
    if found is None or not value:
        return None
    hours, minutes, seconds, thousandths = (float(each or 0) for each in found.groups())
    return min(LONGEST, hours * 3600 + minutes * 60 + seconds + thousandths / 1000)


def _write_ours(seconds: float) -> bytes:
    return b"%dms" % _milliseconds(seconds)


def _read_milliseconds(value: bytes) -> Optional[float]:
    return None if _MILLISECONDS.fullmatch(value) is None else min(LONGEST, int(value) / 1000)


def _write_milliseconds(seconds: float) -> bytes:
    return b"%d" % _milliseconds(seconds)


def _milliseconds(seconds: float) -> int:
    # Down, so that the next hop gives up first; and not to 0, which some take for no limit at all.
    return max(1, math.floor(seconds * 1000))


STYLES: dict[bytes, _Style] = {
    b"grpc-timeout": _Style(_read_grpc, _write_grpc),
    OURS: _Style(_read_ours, _write_ours),
    b"x-envoy-expected-rq-timeout-ms": _Style(_read_milliseconds, _write_milliseconds),
}


def given(fields: Iterable[Field]) -> tuple[Optional[float], int]:
    """Return the seconds that the caller waits, the least of several, and how many fields say nothing that can be read.

    :param fields: those of a request; the seconds are None where none of them says so.
    """
    least: Optional[float] = None
    malformed = 0
    for name, value, _, sort in fields:
        if sort != DEADLINE:
            continue
        seconds = STYLES[name].read(value)
        if seconds is None:
            malformed += 1
        elif least is None or seconds < least:
            least = seconds
    return least, malformed


def reduced(fields: Sequence[Field], left: float) -> list[Field]:
    """Return the fields of a request with what is left in the place of what the caller gave.

    :param left: seconds, more than 0; what was malformed stays as it is.
    """
    return [
        field_of(each[0], left) if each[3] == DEADLINE and STYLES[each[0]].read(each[1]) is not None else each
        for each in fields
    ]


def field_of(name: bytes, left: float) -> Field:
    """Return the field of this name, one of `STYLES`, that says how many seconds are left."""
    value = STYLES[name].write(left)
    return (name, value, b"%b: %b" % (name, value), DEADLINE)
