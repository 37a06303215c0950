"""RESP, the protocol of Redis: what its two directions share, and what the mesh says itself.

RESP2 and RESP3 frame alike: a line that begins with a type and ends in CRLF, behind it so many bytes or elements.
Reading is framing: `resp_request.RequestReader` and `resp_reply.ReplyReader` find where each command and each reply
begins and ends, so that they can be passed on as the bytes that they came in.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, Iterable, Optional, Union

import hiredis

# A line that announces a length, and an inline command, with the server's own bound (PROTO_INLINE_MAX_SIZE).
LINE_LIMIT = 64 * 1024
# One string; the default of the server's proto-max-bulk-len.
BULK_LIMIT = 512 * 1024 * 1024
# Arguments of a command and elements of an aggregate; a server reads counts into a C int.
COUNT_LIMIT = 2**31 - 1
# A command or reply that is kept whole although it has not ended.  What may be larger is streamed (`release`).
HELD_LIMIT = 64 * 1024 * 1024
# Aggregates in aggregates.  A server makes 8,000 of what a script returns, and whoever sends such a script must not end
# a connection that others use as well.
DEPTH_LIMIT = 16 * 1024

CRLF = b"\r\n"
OK = b"+OK\r\n"
NULL = b"$-1\r\n"
NULL_ARRAY = b"*-1\r\n"
NULL_3 = b"_\r\n"

# With fewer strings to come it is not worth while to look for a run of them, and with larger ones.
RUN_LEAST = 4
RUN_SIZE = 64 * 1024
# The same for whole commands and replies, of which there are more kinds.
PIPELINED_SIZE = 128
# Lengths as they come, so that few need ``int``: a third of the time for each.
SMALL = {b"%d" % number: number for number in range(1024)}
# The same the other way round: the line before a string of a length.
HEADS = {number: b"$%d" % number for number in range(1024)}
_NULL = b"$-1"

Argument = Union[bytes, str, int]


class RespError(Exception):
    """What came is not RESP.  `reply` is the error that a server sends before it closes such a connection."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def reply(self) -> bytes:
        """The error as a reply."""
        return error("ERR", f"Protocol error: {self.text}")


class Unfinished:
    """A command or a reply whose end has not come yet; it remembers how far it was read, so that no byte is read twice.

    `pieces` are its bytes and `size` is their number; after `release` they are not kept any more.
    """

    __slots__ = ("_line", "_need", "done", "kept", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.done = False
        self.kept = True
        # Bytes of a string, its CRLF included, that are still to come; 0 where a line is next.
        self._need = 0
        self._line = b""

    def feed(self, data: bytes, position: int) -> int:
        """Read on from `position`; return the position behind what belongs to this command or reply.

        :raises RespError: it cannot become one.
        """
        start, size = position, len(data)
        while position < size and not self.done:
            position = self._read_string(data, position) if self._need else self._read_line(data, position)
        if position > start:
            self.pieces.append(data[start:position] if start or position < size else data)
            self.size += position - start
        return position

    def take(self) -> bytes:
        """Return the bytes that were not taken yet."""
        taken = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces = []
        return taken

    def _read_string(self, data: bytes, position: int) -> int:
        end = min(position + self._need, len(data))
        piece = data[max(position, position + self._need - 2) : end]
        self._need -= end - position
        # The last two bytes, which may come one by one.
        if piece and piece != CRLF[2 - self._need - len(piece) : 2 - self._need]:
            raise RespError("invalid CRLF in request")
        self._seen(data, position, end)
        if not self._need:
            self._string_ended()
        return end

    def _read_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + LINE_LIMIT + 2)
        line = self._line + data[position : end + 1 if end >= 0 else position + LINE_LIMIT + 2]
        if end < 0:
            if len(line) > LINE_LIMIT:
                raise RespError(self._too_long())
            self._line = line
            self._begun(line)
            return min(len(data), position + LINE_LIMIT + 2)
        self._line = b""
        self._take_line(line)
        return end + 1

    # --- what the two directions make of it

    def _begun(self, line: bytes) -> None:
        """A line has begun; refuse early what cannot become one, so that nobody waits for the rest of it."""

    def _take_line(self, line: bytes) -> None:
        """A line with its LF."""
        raise NotImplementedError

    def _seen(self, data: bytes, start: int, end: int) -> None:
        """Bytes of a string, perhaps with its CRLF."""

    def _string_ended(self) -> None:
        raise NotImplementedError

    def _too_long(self) -> str:
        raise NotImplementedError


@lru_cache(256)
def run_of(line: bytes, size: int) -> Callable[[bytes, int], Optional[re.Match[bytes]]]:
    """Return what matches strings of one size that follow each other, a thousand at most.

    What is in them is not looked at, so many keys or values of one size take a tenth of the time.
    """
    return re.compile(rb"(?s:(?:%b.{%d}\r\n){1,1024})" % (re.escape(line), size)).match


def strings(text: bytes, count: int) -> Optional[tuple[list[bytes], list[bytes]]]:
    """Return the heads (such as ``$3``) and the values of the strings that `text` consists of, if there are `count`.

    It takes a quarter of the time of looking at one after the other.  A value with a line break or of more than 1023
    bytes is not for it: None.  A null of RESP2 has the head ``$-1`` and an empty value.
    """
    pieces = text.split(CRLF)
    if len(pieces) != 2 * count + 1:
        # Where a value has this in it, or ends so, its length is none that fits.
        pieces = text.replace(NULL, b"$-1\r\n\r\n").split(CRLF)
        if len(pieces) != 2 * count + 1:
            return None
    values = pieces[1::2]
    heads = pieces[:-1:2]
    expected = list(map(HEADS.get, map(len, values)))
    if heads != expected and not all(
        head == fits or (head == _NULL and not value) for head, fits, value in zip(heads, expected, values)
    ):
        return None
    return None if pieces[-1] else (heads, values)


def short_strings(
    data: bytes, position: int, count: int, some: Callable[[bytes, int], Optional[re.Match[bytes]]]
) -> int:
    """Return where so many strings end that begin at `position`; -1 if it is not that easy to say.

    :param some: matches strings without a line break in them, as many as follow each other.
    """
    if not RUN_LEAST <= count <= 1024:
        return -1
    digits = data.find(CRLF, position, position + 8)
    number = SMALL.get(data[position + 1 : digits])
    if number is not None and data.startswith(b"$", position):
        # Often all have one size.
        line = data[position : digits + 2]
        end = position + count * (len(line) + number + 2)
        run = run_of(line, number)(data, position)
        if run is not None and run.end() >= end:
            return end
    found = some(data, position)
    return -1 if found is None or strings(found[0], count) is None else found.end()


def joined(before: list[bytes], data: bytes) -> bytes:
    """Return one bytes of several; without a copy if there is only one."""
    return data if not before else b"".join([*before, data])


def number_in(text: bytes, least: int, most: int) -> Optional[int]:
    """Return the number that a length says, read as strictly as a server does; None if it is none or out of range."""
    number = SMALL.get(text)
    if number is None:
        digits = text[1:] if text[:1] == b"-" else text
        if len(digits) > 10 or not digits.isdigit() or digits[:1] == b"0":
            return None
        number = int(text)
    return number if least <= number <= most else None


def pack(arguments: Iterable[Argument]) -> bytes:
    """Return a command as clients send it; text goes out as UTF-8."""
    parts = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(each), each) for each in parts])


def arguments(command: bytes) -> list[bytes]:
    """Return the words of one whole command, its name first: what `pack` was given."""
    reader = hiredis.Reader()
    reader.feed(command)
    words: list[bytes] = reader.gets()
    return words


def error(code: str, text: str) -> bytes:
    """Return an error reply.  Clients look at its first word, `code`; a line break in either becomes a space."""
    line = f"{code} {text}".replace("\r", " ").replace("\n", " ")
    return b"-%b\r\n" % line.encode("utf-8", "surrogateescape")


def simple(text: bytes) -> bytes:
    """Return a simple string.

    :raises ValueError: it holds a line break.
    """
    if b"\r" in text or b"\n" in text:
        raise ValueError(f"not one line: {text!r:.100}")
    return b"+%b\r\n" % text


def bulk(value: bytes) -> bytes:
    """Return a string of any bytes."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def text(value: bytes, version: int) -> bytes:
    """Return what is for people and to be shown as it is: a verbatim string, before RESP3 a plain one."""
    return bulk(value) if version < 3 else b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value)


def integer(value: int) -> bytes:
    """Return a number."""
    return b":%d\r\n" % value


def array(replies: Iterable[bytes]) -> bytes:
    """Return an array of replies that are made already."""
    elements = list(replies)
    return b"*%d\r\n%b" % (len(elements), b"".join(elements))


def mapping(pairs: Iterable[tuple[bytes, bytes]], version: int) -> bytes:
    """Return pairs of replies: a map of RESP3, the flat array that stands for one in RESP2."""
    elements = [each for pair in pairs for each in pair]
    head = b"%%%d\r\n" % (len(elements) // 2) if version >= 3 else b"*%d\r\n" % len(elements)
    return head + b"".join(elements)


def push(replies: Iterable[bytes], version: int) -> bytes:
    """Return an out-of-band message: a push of RESP3, an array in RESP2."""
    elements = list(replies)
    return b"%b%d\r\n%b" % (b">" if version >= 3 else b"*", len(elements), b"".join(elements))


def null(version: int) -> bytes:
    """Return what stands for no value."""
    return NULL_3 if version >= 3 else NULL
