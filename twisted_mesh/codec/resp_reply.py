"""Replies as a server sends them: where each begins and ends, in RESP2 and RESP3.

This is framing and nothing else: a number is not looked at, nor a map whose keys are maps.  Who asked gets the bytes.
"""

from __future__ import annotations

from typing import Optional

from twisted_mesh.codec.resp import (
    BULK_LIMIT,
    COUNT_LIMIT,
    CRLF,
    DEPTH_LIMIT,
    HELD_LIMIT,
    LINE_LIMIT,
    RespError,
    Unfinished,
    number_in,
)
from twisted_mesh.codec.resp_kinds import AGGREGATES, ATTRIBUTE, BULK, KINDS, LINES, NULLABLE, PUSH, STRINGS
from twisted_mesh.codec.resp_reply_scan import Answer, flat, scan

# A reply of so many bytes is found alone.
_LARGE = 16 * 1024


class UnfinishedReply(Unfinished):
    """A reply whose end has not come yet; `kind` is the byte that it begins with, 0 before that has come.

    An attribute belongs to what stands behind it: both are one reply, of that kind.
    """

    __slots__ = ("_left", "kind")

    def __init__(self) -> None:
        super().__init__()
        self.kind = 0
        # How many elements are to come in each aggregate that has begun, the innermost last.
        self._left = [1]

    def __repr__(self) -> str:
        kind = chr(self.kind) if self.kind else "not begun"
        return f"<UnfinishedReply {kind} {self.size} bytes, {self._left} to come>"

    @property
    def outermost(self) -> bool:
        """Whether what comes next is not inside of an aggregate."""
        return len(self._left) == 1

    def _read_line(self, data: bytes, position: int) -> int:
        if len(self._left) > 1 and not self._line:
            end = self._read_flat(data, position)
            if end > position:
                return end
        return super()._read_line(data, position)

    def _read_flat(self, data: bytes, position: int) -> int:
        """Read the elements that are whole and no aggregates in one go: nearly all there are, a tenth of the time."""
        position, left = flat(data, position, self._left[-1])
        if left:
            self._left[-1] = left
        else:
            self._left[-1] = 1
            self._ended()
        return position

    def _begun(self, line: bytes) -> None:
        if line[0] not in KINDS:
            raise RespError(f"got {line[:1]!r} as the type of a reply")
        if b"\r" in line[:-1]:
            raise RespError("a line break inside of a line")

    def _take_line(self, line: bytes) -> None:
        if len(line) > LINE_LIMIT + 2:
            raise RespError(self._too_long())
        kind = line[0]
        self._begun(line[:-1] or line)
        if line[-2:] != CRLF:
            raise RespError("a line break inside of a line")
        if len(self._left) == 1:
            self.kind = kind
        if kind in LINES:
            self._ended()
        elif kind in STRINGS:
            length = number_in(line[1:-2], -1 if kind == BULK else 0, BULK_LIMIT)
            if length is None:
                raise RespError(f"not the length of a string: {line[1:-2][:32]!r}")
            if length < 0:
                self._ended()
            else:
                self._need = length + 2
        else:
            self._open(kind, line)

    def _open(self, kind: int, line: bytes) -> None:
        count = number_in(line[1:-2], -1 if kind in NULLABLE else 0, COUNT_LIMIT)
        if count is None:
            raise RespError(f"not the length of an aggregate: {line[1:-2][:32]!r}")
        if kind == ATTRIBUTE:
            # It is no element itself.
            self._left[-1] += 1
        elif kind == PUSH and len(self._left) > 1:
            raise RespError("a push message inside of an aggregate")
        if count <= 0:
            self._ended()
            return
        if len(self._left) > DEPTH_LIMIT:
            raise RespError(f"aggregates nested deeper than {DEPTH_LIMIT}")
        self._left.append(count * AGGREGATES[kind])

    def _ended(self) -> None:
        """One element is over, and with it those aggregates that it was the last of."""
        left = self._left
        left[-1] -= 1
        while not left[-1] and len(left) > 1:
            left.pop()
            left[-1] -= 1
        self.done = not left[-1]

    def _string_ended(self) -> None:
        self._ended()

    def _too_long(self) -> str:
        return f"a line of more than {LINE_LIMIT} bytes"


class ReplyReader:
    """Finds replies in what one server sends, in whatever pieces it comes.

    ``feed`` returns the replies that are whole, with their places in `data`.  What is wrong is in `error`, behind the
    replies before it, and nothing is read any more: the connection is of no use.

    An `unfinished` reply is kept until it is whole, up to `limit` bytes.  ``release()`` gives out what there is of it
    and lets the rest through as it comes, in `through`, which stands before `data`; it has ended when it is not the
    `unfinished` one any more.

    :param apart: whether a large reply is found alone and what came behind it by `more`, which spares a copy of that.
    """

    __slots__ = ("_apart", "_rest", "data", "error", "limit", "through", "unfinished")

    def __init__(self, *, limit: int = HELD_LIMIT, apart: bool = False) -> None:
        self.limit = limit
        self._apart = apart
        # What came behind a large reply, and where that begins.
        self._rest: Optional[tuple[bytes, int]] = None
        self.data = b""
        self.through = b""
        self.error: Optional[RespError] = None
        self.unfinished: Optional[UnfinishedReply] = None

    def __repr__(self) -> str:
        return f"<ReplyReader {self.error or self.unfinished or 'between replies'!r}>"

    def feed(self, data: bytes) -> list[Answer]:
        """Read on; return the replies that are whole now."""
        found: list[Answer] = []
        self.through = b""
        if self.unfinished is None and self.error is None:
            end = scan(data, 0, found)
            self.data = data
            if end < len(data):
                self._read(data, end, found)
            return found
        self.data = b""
        if self.error is None:
            self._go_on(data, found)
        return found

    def more(self) -> Optional[list[Answer]]:
        """Return the replies that `feed` has left, with their places in what is `data` now; None if it has not."""
        if self._rest is None:
            return None
        found: list[Answer] = []
        (self.data, position), self._rest = self._rest, None
        self.through = b""
        position = scan(self.data, position, found)
        if position < len(self.data):
            self._read(self.data, position, found)
        return found

    def release(self) -> bytes:
        """Return what there is of the unfinished reply, and do not keep the rest of it."""
        assert self.unfinished is not None, "there is nothing to release"
        self.unfinished.kept = False
        return self.unfinished.take()

    def _go_on(self, data: bytes, found: list[Answer]) -> None:
        """Read on in the unfinished reply."""
        reply = self.unfinished
        assert reply is not None
        try:
            position = reply.feed(data, 0)
            if reply.kept and reply.size > self.limit:
                raise RespError(f"a reply of more than {self.limit} bytes")
        except RespError as wrong:
            self.error = wrong
            self.unfinished = None
            return
        if not reply.kept:
            self.through = reply.take()
        if not reply.done:
            return
        self.unfinished = None
        if not reply.kept:
            self.data = data
        elif self._apart and reply.size >= _LARGE:
            self.data = reply.take()
            found.append((reply.kind, 0, reply.size))
            if position < len(data):
                self._rest = data, position
            return
        else:
            # One copy of what is behind it, so that all places are places in one `data`.
            self.data = reply.take() + data[position:]
            position = reply.size
            found.append((reply.kind, 0, position))
        position = scan(self.data, position, found)
        if position < len(self.data):
            self._read(self.data, position, found)

    def _read(self, data: bytes, position: int, found: list[Answer]) -> None:
        """The slow path, from where the fast one stopped: aggregates, what is unfinished, what is wrong."""
        try:
            while position < len(data):
                reply = UnfinishedReply()
                start = position
                position = reply.feed(data, position)
                if not reply.done:
                    if reply.size > self.limit:
                        raise RespError(f"a reply of more than {self.limit} bytes")
                    self.unfinished = reply
                    return
                found.append((reply.kind, start, position))
                position = scan(data, position, found)
        except RespError as wrong:
            self.error = wrong
