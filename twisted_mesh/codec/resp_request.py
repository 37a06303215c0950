"""Commands as clients send them: where each begins and ends, its name and its first argument.

What is refused is refused in the words of the server, which closes the connection behind them.
"""

from __future__ import annotations

from typing import Optional

from twisted_mesh.codec.resp import (
    BULK_LIMIT,
    COUNT_LIMIT,
    CRLF,
    HELD_LIMIT,
    LINE_LIMIT,
    RespError,
    Unfinished,
    number_in,
    pack,
)
from twisted_mesh.codec.resp_inline import split_inline
from twisted_mesh.codec.resp_request_scan import NAME_SIZE, Found, only, remember, scan

# Before a client has said who it is, a server takes this much from it and no more.
STRANGER_COUNT_LIMIT = 10
STRANGER_BULK_LIMIT = 16 * 1024

# A server refuses a line that has not ended within its limit, of which it looks after each read of so many bytes.
_INLINE_LIMIT = LINE_LIMIT + 16 * 1024
_STAR = 42


class UnfinishedRequest(Unfinished):
    """A command whose end has not come yet.  `name` and `key` are known once they are whole."""

    __slots__ = ("_left", "_strings", "_trusted", "dropped", "key", "name", "words")

    def __init__(self, trusted: bool) -> None:
        super().__init__()
        self._trusted = trusted
        self._left = -1
        # The name and the first argument, in pieces.
        self._strings: list[bytes] = []
        self.words = 0
        self.dropped = False
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

    def drop(self) -> None:
        """Keep nothing of it, neither what is here nor what comes; `name` and `key` are empty where not known yet."""
        self.kept, self.dropped = False, True
        self.pieces, self._strings = [], []
        self.name, self.key = self.name or b"", self.key or b""

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

    An `unfinished` command is kept until it is whole, up to `limit` bytes; a larger one is read and dropped, and found
    as one of no words, with its name in the place of its first argument.  ``release()`` gives out what there is of it
    and lets the rest of it through as it comes, in `through`, which stands before `data`; it has ended when it is
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
                    remember(found[0])
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
        if command.dropped or (command.kept and command.size > self.limit):
            command.drop()
        elif not command.kept:
            self.through = command.take()
        if not command.done:
            return position, None
        self.unfinished = None
        if command.dropped:
            return position, (b"", command.name, 0, b"")
        if command.name is None or not command.kept:
            return position, None
        return position, (command.name, command.key, command.words, command.take())

    def _read_line(self, data: bytes, position: int) -> tuple[int, Optional[tuple[bytes, Optional[bytes], int, bytes]]]:
        end = data.find(b"\n", position)
        if data.find(b"\x00", position, end if end >= 0 else len(data)) >= 0:
            # A server sees no line break behind a NUL: it waits, until that is too much.
            end = -1
        if (end if end >= 0 else len(data)) - position > (LINE_LIMIT if end < 0 else _INLINE_LIMIT):
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
