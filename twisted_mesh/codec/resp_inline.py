"""Inline commands: a line of words, as somebody types it into telnet.

The rules are the server's (``sdssplitargs``): words are parted by white space, but a vertical tab or a form feed ends
only a quoted one; double quotes know ``\\n \\r \\t \\b \\a \\xHH`` and take any other character behind a backslash for
itself; single quotes know ``\\'``.
"""

from __future__ import annotations

import re
from typing import Optional

_SPACE = b"\t\n\v\f\r "
# What ends a bare word.
_ENDS = b"\t\n\r "
_QUOTES = b"\"'"
# A piece of a word: bare bytes, or what stands in quotes.  A word ends where a quoted piece does.
_BARE = re.compile(rb"""[^\t\n\r "']+""")
_DOUBLE = re.compile(rb'"((?:[^"\\]|\\[\s\S])*)"(?=[' + _SPACE + rb"]|\Z)")
_SINGLE = re.compile(rb"'((?:[^'\\]|\\'|\\(?!'))*)'(?=[" + _SPACE + rb"]|\Z)")
_SPACES = re.compile(rb"[" + _SPACE + rb"]*")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\s\S])")
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_inline(line: bytes) -> Optional[list[bytes]]:
    """Return the words of a line; None if its quotes do not balance."""
    words: list[bytes] = []
    position = _behind_spaces(line, 0)
    while position < len(line):
        pieces: list[bytes] = []
        end = position
        quoted = False
        while end < len(line) and not quoted and line[end] not in _ENDS:
            quoted = line[end] in _QUOTES
            piece, end = _piece(line, end)
            if piece is None:
                return None
            pieces.append(piece)
        words.append(b"".join(pieces))
        position = _behind_spaces(line, end)
    return words


def _behind_spaces(line: bytes, position: int) -> int:
    spaces = _SPACES.match(line, position)
    return position if spaces is None else spaces.end()


def _piece(line: bytes, position: int) -> tuple[Optional[bytes], int]:
    first = line[position : position + 1]
    if first == b'"':
        quoted = _DOUBLE.match(line, position)
        return (None, position) if quoted is None else (_ESCAPE.sub(_unescaped, quoted[1]), quoted.end())
    if first == b"'":
        quoted = _SINGLE.match(line, position)
        return (None, position) if quoted is None else (quoted[1].replace(b"\\'", b"'"), quoted.end())
    bare = _BARE.match(line, position)
    return (None, position) if bare is None else (bare[0], bare.end())


def _unescaped(escape: re.Match[bytes]) -> bytes:
    what = escape[1]
    if len(what) == 3:
        return bytes([int(what[1:], 16)])
    return _CONTROLS.get(what, what)
