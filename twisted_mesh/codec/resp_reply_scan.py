"""Whole replies, as they nearly always come: the fast path of `resp_reply.ReplyReader`.

It finds what is whole and flat, and stops at anything else without saying which that is.
"""

from __future__ import annotations

import re
from typing import Optional, Union

from twisted_mesh.codec.resp import CRLF, OK, PIPELINED_SIZE, RUN_LEAST, RUN_SIZE, SMALL, run_of, short_strings
from twisted_mesh.codec.resp_kinds import ARRAY

# A reply: its type, the byte that it begins with, and where it begins and ends in `ReplyReader.data`.
Answer = tuple[int, int, int]

_ARRAY = re.compile(rb"\*([1-9][0-9]{0,4})\r\n").match
# Strings without a line break in them, a thousand at most: their lengths are still to be looked at.
_STRINGS = re.compile(rb"(?:\$(?:-1|[0-9]{1,4}\r\n[^\r\n]*)\r\n){1,1024}").match
_OKS = re.compile(rb"(?:\+OK\r\n){1,1024}").match
_FLAT = re.compile(rb"(?:[+\-:,(#_][^\r\n]{0,16384}|[$=!](0|[1-9][0-9]{0,8})|\$-1)\r\n").match


def scan(data: bytes, position: int, found: list[Answer]) -> int:
    """Append the whole replies that begin at `position`; return where the last of them ends.

    This is the fast path: it stops at what is unfinished, wrong or an aggregate, other than arrays with none in them,
    without saying which.  A line that is the one before it again is not parsed again.
    """
    size = len(data)
    again = data.startswith
    small = SMALL.get
    # Nothing begins with one of none.
    before: Union[bytes, tuple[()]] = ()
    kind, jump, string = 0, 0, False
    while position < size:
        if not again(before, position):
            line = _FLAT(data, position)
            if line is None:
                end = _array(data, position)
                if end < 0:
                    break
                found.append((ARRAY, position, end))
                position, before = end, ()
                continue
            before, length = line.group(0, 1)
            kind = data[position]
            jump = len(before)
            string = length is not None
            if string:
                jump += int(length) if (number := small(length)) is None else number
        elif string and jump <= PIPELINED_SIZE and size - position >= RUN_LEAST * (jump + 2):
            assert isinstance(before, bytes)
            run = run_of(before, jump - len(before))(data, position)
            if run is not None:
                stop, jump = run.end(), jump + 2
                found += [(kind, at, at + jump) for at in range(position, stop, jump)]
                position, jump = stop, jump - 2
                continue
        elif before == OK:
            stop = _OKS(data, position).end()  # type: ignore[union-attr]  # it is one at least
            found += [(kind, at, at + jump) for at in range(position, stop, jump)]
            position = stop
            continue
        end = position + jump
        if string:
            if not again(CRLF, end):
                break
            end += 2
        found.append((kind, position, end))
        position = end
    return position


def _array(data: bytes, position: int) -> int:
    """Return where an array ends that has no aggregate in it; -1 if there is none, or not all of one."""
    head = _ARRAY(data, position)
    if head is None:
        return -1
    count = int(head[1])
    end = short_strings(data, head.end(), count, _STRINGS)
    if end < 0:
        end, left = flat(data, head.end(), count)
        if left:
            return -1
    return end


def flat(data: bytes, position: int, left: int, ends: Optional[list[int]] = None) -> tuple[int, int]:
    """Go over whole elements that are no aggregates, at most `left`; return where it stops, and how many are left.

    :param ends: where each of them ends is appended to it.
    """
    again = data.startswith
    small = SMALL.get
    before: Union[bytes, tuple[()]] = ()
    jump, string = 0, False
    while left:
        if not again(before, position):
            line = _FLAT(data, position)
            if line is None:
                break
            before, length = line.group(0, 1)
            jump = len(before)
            string = length is not None
            if string:
                jump += int(length) if (number := small(length)) is None else number
        elif string and left >= RUN_LEAST and jump <= RUN_SIZE:
            assert isinstance(before, bytes)
            run = run_of(before, jump - len(before))(data, position)
            if run is not None:
                count = min((run.end() - position) // (jump + 2), left)
                if ends is not None:
                    ends.extend(range(position + jump + 2, position + count * (jump + 2) + 1, jump + 2))
                position += count * (jump + 2)
                left -= count
                continue
        end = position + jump
        if string:
            if not again(CRLF, end):
                break
            end += 2
        position = end
        if ends is not None:
            ends.append(end)
        left -= 1
    return position, left
