"""Commands as clients send them: where each begins and ends, its name and its first argument.

What is refused is refused in the words of the server, which closes the connection behind them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, Optional, Union

import hiredis

from twisted_mesh.codec.resp import (
    BULK_LIMIT,
    COUNT_LIMIT,
    CRLF,
    HELD_LIMIT,
    LINE_LIMIT,
    PIPELINED_SIZE,
    RUN_LEAST,
    RUN_SIZE,
    SMALL,
    RespError,
    Unfinished,
    number_in,
    pack,
    run_of,
    short_strings,
)
from twisted_mesh.codec.resp_inline import split_inline

# A command: its name as it was sent, its first argument (None: it has none), how many words it has with its name, and
# where it begins and ends in `RequestReader.data`.  A plain tuple: thousands are made in a millisecond.
Found = tuple[bytes, Optional[bytes], int, int, int]

# Before a client has said who it is, a server takes this much from it and no more.
STRANGER_COUNT_LIMIT = 10
STRANGER_BULK_LIMIT = 16 * 1024

_COMMAND = re.compile(rb"\*([1-9][0-9]{0,8})\r\n\$([1-9][0-9]?)\r\n([^\r\n]+)\r\n(?:\$(0|[1-9][0-9]{0,8})\r\n)?").match
# As many short ones as follow each other, whatever their lengths are; a thousand at most.
_SHORT = re.compile(rb"(?:\$[0-9]{1,4}\r\n[^\r\n]*\r\n){1,1024}").match
_STRING = re.compile(rb"\$(0|[1-9][0-9]{0,8})\r\n").match
_STAR = 42
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


def _remember(command: Found) -> None:
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


def arguments(command: bytes) -> list[bytes]:
    """Return the words of one whole command, its name first."""
    reader = hiredis.Reader()
    reader.feed(command)
    words: list[bytes] = reader.gets()
    return words


class UnfinishedRequest(Unfinished):
    """A command whose end has not come yet.  `name` and `key` are known once they are whole."""

    __slots__ = ("_left", "_strings", "_trusted", "key", "name", "words")

    def __init__(self, trusted: bool) -> None:
        super().__init__()
        self._trusted = trusted
        self._left = -1
        # The name and the first argument, in pieces.
        self._strings: list[bytes] = []
        self.words = 0
        self.name: Optional[bytes] = None
        self.key: Optional[bytes] = None

    def __repr__(self) -> str:
        return f"<UnfinishedRequest {self.name!r} {self.size} bytes, {self._left} of {self.words} words to come>"

    def _begun(self, line: bytes) -> None:
        if self._left >= 0 and line and line[:1] != b"$":
            self._expected_string(line)
        if b"\r" in line[:-1]:
            raise RespError("invalid CRLF in request")

    def _take_line(self, line: bytes) -> None:
        if len(line) > LINE_LIMIT + 2:
            raise RespError(self._too_long())
        if self._left < 0:
            self._take_count(line)
        else:
            self._take_length(line)

    def _take_count(self, line: bytes) -> None:
        count = number_in(_stripped(line, "invalid multibulk length"), -COUNT_LIMIT, COUNT_LIMIT)
        if count is None:
            raise RespError("invalid multibulk length")
        if count > STRANGER_COUNT_LIMIT and not self._trusted:
            raise RespError("unauthenticated multibulk length")
        self.words = self._left = max(count, 0)
        self.done = count <= 0

    def _take_length(self, line: bytes) -> None:
        if line[:1] != b"$":
            self._expected_string(line)
        length = number_in(_stripped(line, "invalid bulk length"), 0, BULK_LIMIT)
        if length is None:
            raise RespError("invalid bulk length")
        if length > STRANGER_BULK_LIMIT and not self._trusted:
            raise RespError("unauthenticated bulk length")
        self._need = length + 2

    def _expected_string(self, line: bytes) -> None:
        # A server shows the byte as it is, a line break as a space.
        raise RespError(f"expected '$', got '{line[:1].decode('utf-8', 'surrogateescape')}'")

    def _seen(self, data: bytes, start: int, end: int) -> None:
        if self.name is None or (self.key is None and self._left):
            self._strings.append(data[start:end])

    def _string_ended(self) -> None:
        self._left -= 1
        if self.name is None:
            self.name = b"".join(self._strings)[:-2]
        elif self.key is None:
            self.key = b"".join(self._strings)[:-2]
        self._strings = []
        self.done = not self._left

    def _too_long(self) -> str:
        return f"too big {'mbulk' if self._left < 0 else 'bulk'} count string"


def _stripped(line: bytes, wrong: str) -> bytes:
    """Return a line without its type and its CRLF."""
    if b"\r" in line[:-2]:
        raise RespError("invalid CRLF in request")
    if line[-2:] != CRLF:
        raise RespError(wrong)
    return line[1:-2]


class RequestReader:
    """Finds commands in what one client sends, in whatever pieces it comes.

    ``feed`` returns the commands that are whole, with their places in `data`; inline commands are in `data` as if they
    had been sent in full, and what means nothing (empty lines, ``*0``) is not.  What is wrong is in `error`, behind the
    commands before it, and nothing is read any more.

    An `unfinished` command is kept until it is whole, up to `limit` bytes.  ``release()`` gives out what there is of
    it and lets the rest of it through as it comes, in `through`, which stands before `data`; it has ended when it is
    not the `unfinished` one any more, and is not found.  Whether clients are `trusted` (logged in, or need not be) may
    change at any time; strangers may send little.
    """

    __slots__ = ("_inline", "data", "error", "limit", "through", "trusted", "unfinished")

    def __init__(self, *, limit: int = HELD_LIMIT, trusted: bool = True) -> None:
        self.limit = limit
        self.trusted = trusted
        self.data = b""
        self.through = b""
        self.error: Optional[RespError] = None
        self.unfinished: Optional[UnfinishedRequest] = None
        self._inline = b""

    def __repr__(self) -> str:
        return f"<RequestReader {self.error or self.unfinished or 'between commands'!r}>"

    @property
    def idle(self) -> bool:
        """Whether what comes is the beginning of a command."""
        return self.unfinished is None and not self._inline and self.error is None

    @property
    def held(self) -> int:
        """How many bytes are kept of what is not whole."""
        return len(self._inline) + (self.unfinished.size if self.unfinished and self.unfinished.kept else 0)

    def feed(self, data: bytes) -> list[Found]:
        """Read on; return the commands that are whole now."""
        found: list[Found] = []
        self.through = b""
        if self.trusted and self.unfinished is None and not self._inline and self.error is None:
            if len(data) > NAME_SIZE and only(data, found):
                self.data = data
                return found
            end = scan(data, 0, found)
            if end == len(data):
                self.data = data
                if len(found) == 1:
                    _remember(found[0])
                return found
            return self._read(data, end, found, [data[:end]])
        if self.error is not None:
            self.data = b""
            return found
        data, self._inline = self._inline + data, b""
        return self._read(data, 0, found, [])

    def release(self) -> bytes:
        """Return what there is of the unfinished command, and do not keep the rest of it."""
        assert self.unfinished is not None, "there is nothing to release"
        self.unfinished.kept = False
        return self.unfinished.take()

    def _read(self, data: bytes, position: int, found: list[Found], whole: list[bytes]) -> list[Found]:
        """The slow path: what is unfinished, unusual or wrong.  `whole` is what `data` will be."""
        length = sum(map(len, whole))
        size = len(data)
        try:
            while position < size:
                if self.unfinished is not None or data[position] == _STAR:
                    position, command = self._read_array(data, position)
                else:
                    position, command = self._read_line(data, position)
                if command is not None:
                    name, key, words, text = command
                    found.append((name, key, words, length, length + len(text)))
                    whole.append(text)
                    length += len(text)
                if self.trusted and self.unfinished is None and not self._inline:
                    end = scan(data, position, found, length - position)
                    whole.append(data[position:end])
                    length += end - position
                    position = end
        except RespError as wrong:
            self.error = wrong
            self.unfinished = None
        self.data = b"".join(whole)
        return found

    def _read_array(
        self, data: bytes, position: int
    ) -> tuple[int, Optional[tuple[bytes, Optional[bytes], int, bytes]]]:
        command = self.unfinished
        if command is None:
            command = self.unfinished = UnfinishedRequest(self.trusted)
        position = command.feed(data, position)
        if not command.kept:
            self.through = command.take()
        elif command.size > self.limit:
            raise RespError(f"a command of more than {self.limit} bytes")
        if not command.done:
            return position, None
        self.unfinished = None
        if command.name is None or not command.kept:
            return position, None
        return position, (command.name, command.key, command.words, command.take())

    def _read_line(self, data: bytes, position: int) -> tuple[int, Optional[tuple[bytes, Optional[bytes], int, bytes]]]:
        end = data.find(b"\n", position)
        if (end if end >= 0 else len(data)) - position > LINE_LIMIT:
            raise RespError("too big inline request")
        if end < 0:
            self._inline = data[position:]
            return len(data), None
        words = split_inline(data[position:end])
        if words is None:
            raise RespError("unbalanced quotes in request")
        if not words:
            return end + 1, None
        return end + 1, (words[0], words[1] if len(words) > 1 else None, len(words), pack(words))
