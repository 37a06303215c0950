"""Whole commands, as they nearly always come: the fast path of `resp_request.RequestReader`.

It finds what is whole and usual, and stops at anything else without saying which that is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, Optional, Union

from twisted_mesh.codec.resp import CRLF, PIPELINED_SIZE, RUN_LEAST, RUN_SIZE, SMALL, run_of, short_strings

# A command: its name as it was sent, its first argument (None: it has none), how many words it has with its name, and
# where it begins and ends in `RequestReader.data`.  A plain tuple: thousands are made in a millisecond.
Found = tuple[bytes, Optional[bytes], int, int, int]

_COMMAND = re.compile(rb"\*([1-9][0-9]{0,8})\r\n\$([1-9][0-9]?)\r\n([^\r\n]+)\r\n(?:\$(0|[1-9][0-9]{0,8})\r\n)?").match
# As many short ones as follow each other, whatever their lengths are; a thousand at most.
_SHORT = re.compile(rb"(?:\$[0-9]{1,4}\r\n[^\r\n]*\r\n){1,1024}").match
_STRING = re.compile(rb"\$(0|[1-9][0-9]{0,8})\r\n").match
NEXT = b"\r\n$"
# What commands of two or three words began with up to their first argument: the name, how many words, and how long that
# argument is.  Most begin as one before them did, also on another connection.
_heads: dict[bytes, tuple[bytes, int, int]] = {}
# How many are kept before it starts over.
_HEADS_KEPT = 1024
# Where the size of a name of less than ten bytes stands; what is around such a name up to the size of the argument
# behind it, less what turns a digit into a number; how many bytes a size may take.
NAME_SIZE, AROUND, DIGITS = 5, 11 - ord("0"), 12
# Bytes that may come again at another place.
Repeated = Union[bytes, tuple[()]]


def scan(data: bytes, position: int, found: list[Found], shift: int = 0) -> int:  # noqa: PLR0912, PLR0915  # in line
    """Append the whole commands that begin at `position`; return where the last of them ends.

    This is the fast path: it stops at what is unfinished, unusual or wrong without saying which.  Pipelined commands
    look alike up to their keys: a head, or the length of a value, that is the one before it again is not parsed again.

    :param shift: added to the places that are appended.
    """
    size = len(data)
    again = data.startswith
    small = SMALL.get
    # Nothing begins with one of none.
    head: Repeated = ()
    length: Repeated = ()
    name, words, head_size, key_size, jump = b"", 0, 0, 0, 0
    while position < size:
        if again(head, position):
            start = position + head_size
            if words <= 3 and size - position >= RUN_LEAST * (head_size + key_size + 2):
                value = length if words == 3 else b""
                end = _run(data, position, found, shift, (name, words, head, key_size, value, jump))
                if end > position:
                    position = end
                    continue
        else:
            match = _COMMAND(data, position)
            if match is None:
                break
            count, name_size, name, first = match.groups()
            if small(name_size) != len(name):
                break
            words = small(count) or int(count)
            if words == 1:
                # What follows is the next command, whatever it looks like.
                end = match.end(3) + 2
                found.append((name, None, 1, position + shift, end + shift))
                position, head = end, ()
                continue
            if first is None:
                break
            key_size = int(first) if (number := small(first)) is None else number
            head = match[0]
            head_size = len(head)
            start = position + head_size
        end = start + key_size
        key = data[start:end]
        if not again(CRLF, end):
            break
        end += 2
        left = words - 2
        if left >= RUN_LEAST:
            end = _strings(data, end, left)
            left = 0
        for _ in range(left):
            if not again(length, end):
                match = _STRING(data, end)
                if match is None:
                    return position
                length, digits = match.group(0, 1)
                jump = len(length) + (int(digits) if (number := small(digits)) is None else number)
            end += jump
            if not again(CRLF, end):
                return position
            end += 2
        if end < 0:
            return position
        found.append((name, key, words, position + shift, end + shift))
        position = end
    return position


_Shape = tuple[bytes, int, Repeated, int, Repeated, int]


def _run(data: bytes, position: int, found: list[Found], shift: int, shape: _Shape) -> int:
    """Append commands that follow each other and differ in nothing but what their keys and values hold.

    :param shape: their name, how many words they have (2 or 3), what is before the key, its size, the line before the
        value, and the size of the value with that line.
    :returns: where they end; `position` if that does not work here.
    """
    name, words, head, key_size, line, jump = shape
    if words == 2:
        line, jump = b"", -2
    if not isinstance(head, bytes) or not isinstance(line, bytes) or max(key_size, jump) > PIPELINED_SIZE:
        return position
    if not data.startswith(line, position + len(head) + key_size + 2):
        return position
    match = run_of(head, key_size) if words == 2 else _pairs(head, key_size, line, jump - len(line))
    run = match(data, position)
    if run is None:
        return position
    before, size, end = len(head), len(head) + key_size + 2 + jump + 2, run.end()
    found += [
        (name, data[at + before : at + before + key_size], words, at + shift, at + size + shift)
        for at in range(position, end, size)
    ]
    return end


@lru_cache(256)
def _pairs(head: bytes, key_size: int, line: bytes, size: int) -> Callable[[bytes, int], Optional[re.Match[bytes]]]:
    """Return what `run_of` does, for commands of a key and a value."""
    pair = rb"%b.{%d}\r\n%b.{%d}\r\n" % (re.escape(head), key_size, re.escape(line), size)
    return re.compile(rb"(?s:(?:%b){1,1024})" % pair).match


def only(data: bytes, found: list[Found]) -> bool:
    """Append the one command that `data` is, if its head is known; returns whether it was.

    Where a head ends is guessed: what is not a head to the last byte is not found among them.
    """
    at = data[NAME_SIZE] + AROUND
    start = data.find(CRLF, at, at + DIGITS) + 2
    known = _heads.get(data[:start])
    if known is None:
        return False
    name, words, key_size = known
    size = len(data)
    end = start + key_size
    behind = end
    if words == 3:
        stop = data.find(CRLF, end + 3, end + 3 + DIGITS)
        length = SMALL.get(data[end + 3 : stop]) if data.startswith(NEXT, end) else None
        if length is None:
            return False
        behind = stop + 2 + length
    if behind + 2 != size or not data.endswith(CRLF) or not data.startswith(CRLF, end):
        return False
    found.append((name, data[start:end], words, 0, size))
    return True


def remember(command: Found) -> None:
    """Know the head of a command from now on."""
    name, key, words, _, _ = command
    if key is None or words > 3:
        return
    if len(_heads) >= _HEADS_KEPT:
        _heads.clear()
    _heads[b"*%d\r\n$%d\r\n%b\r\n$%d\r\n" % (words, len(name), name, len(key))] = name, words, len(key)


def _strings(data: bytes, position: int, left: int) -> int:
    """Return where so many strings end; -1 if they are not all there, or are none."""
    end = short_strings(data, position, left, _SHORT)
    if end >= 0:
        return end
    again = data.startswith
    length: Repeated = ()
    jump = 0
    while left:
        if not again(length, position):
            match = _STRING(data, position)
            if match is None:
                return -1
            length, digits = match.group(0, 1)
            jump = len(length) + int(digits)
        elif left >= RUN_LEAST and jump <= RUN_SIZE:
            assert isinstance(length, bytes)
            run = run_of(length, jump - len(length))(data, position)
            if run is not None:
                count = min((run.end() - position) // (jump + 2), left)
                position += count * (jump + 2)
                left -= count
                continue
        position += jump
        if not again(CRLF, position):
            return -1
        position += 2
        left -= 1
    return position
