"""Heads on their way out: one join over lines that were made once."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Iterable

from twisted_mesh.codec.lines import Field

REASONS: dict[int, bytes] = {each.value: each.phrase.encode("ascii") for each in HTTPStatus}

_status_lines: dict[tuple[int, int, bytes], bytes] = {}
_LINES_KEPT = 1024
# An upstream may send a reason of any length; those that are remembered are short.
LINE_KEPT = 256
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def status_line(minor: int, status: int, reason: bytes = b"") -> bytes:
    """Return a status line without its CRLF; the standard's reason where `reason` is empty.

    :raises ValueError: the status has not three digits, or the reason holds a control character.
    """
    key = (minor, status, reason)
    line = _status_lines.get(key)
    if line is None:
        if not 100 <= status <= 999 or _REASON.fullmatch(reason) is None:
            raise ValueError(f"not a status and its reason: {status} {reason!r:.100}")
        line = b"HTTP/1.%d %d %b" % (minor, status, reason or REASONS.get(status, b""))
        if len(line) > LINE_KEPT:
            return line
        if len(_status_lines) >= _LINES_KEPT:
            _status_lines.clear()
        _status_lines[key] = line
    return line


def head(first: bytes, fields: Iterable[Field], more: bytes) -> bytes:
    """Return a whole head: the first line, the fields, then `more`, which is whole lines and the empty one."""
    return b"\r\n".join([first, *[each[2] for each in fields], more])
