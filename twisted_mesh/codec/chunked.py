"""The chunked transfer coding, read strictly (RFC 9112 section 7.1).

Nothing is repaired: a bare LF, a size with a sign or a space, an extension with control characters, data that is not
followed by CRLF, are all errors, because each has been used to make two servers see two messages.  Chunk extensions
are hop-by-hop and dropped.  Trailers are kept, and may not hold a field that means something to a proxy: neither what
says where a message ends or whom it is for, nor what the mesh itself tells the next hop, as some servers take trailers
for headers (RFC 9110, section 6.5.1).
"""

from __future__ import annotations

import re
from enum import Enum

from twisted_mesh.codec.grammar import FIELD_LINE, HttpError, shown
from twisted_mesh.codec.lines import SECRET, parse_field

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*\r\n")
_BARE_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n").match
# A size line is a few bytes; node's and Envoy's bounds on extensions were found the hard way (CVE-2024-22019).
SIZE_LINE_LIMIT = 1024
EXTENSIONS_LIMIT = 16 * 1024
TRAILERS_LIMIT = 16 * 1024
TRAILER_COUNT_LIMIT = 64


class _State(Enum):
    SIZE = 1
    DATA = 2
    DATA_END = 3
    TRAILERS = 4
    DONE = 5


class ChunkDecoder:
    """Takes the coded bytes of one body, in any cuts, and gives back the body.

    After `done`, `trailers` holds (name, value) pairs and `rest` the bytes that stood behind the body.
    """

    __slots__ = ("_extensions", "_left", "_line", "_state", "_trailer_bytes", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._left = 0
        self._line = b""
        self._extensions = 0
        self._trailer_bytes = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.rest = b""

    @property
    def done(self) -> bool:
        """Whether the end of the body has been read."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces of body in `data`: those of many small chunks in one, or each would be sent on by itself.

        :raises HttpError: 400; the body must not be used further.
        """
        pieces: list[bytes] = []
        position = 0
        size = len(data)
        while position < size:
            state = self._state
            if state is _State.SIZE and not self._line:
                # A chunk that is here whole, in line: a body of tiny ones must not cost much more than another.
                match = _BARE_SIZE_LINE(data, position)
                if match is not None:
                    start = match.end()
                    end = start + int(match[1], 16)
                    if end > start and data[end : end + 2] == b"\r\n":
                        pieces.append(data[start:end])
                        position = end + 2
                        continue
            if state is _State.DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    self._state = _State.DATA_END
            elif state is _State.DONE:
                break
            else:
                position = self._read_line(data, position)
        if self._state is _State.DONE:
            self.rest = data[position:]
        return pieces if len(pieces) < 2 else [b"".join(pieces)]

    def _read_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        limit = TRAILERS_LIMIT if self._state is _State.TRAILERS else SIZE_LINE_LIMIT
        line = self._line + data[position : end + 1 if end >= 0 else len(data)]
        if len(line) > limit:
            raise HttpError(400, f"a line of the chunked coding is over {limit} bytes")
        if end < 0:
            self._line = line
            self._check_unfinished(line)
            return len(data)
        self._line = b""
        if not line.endswith(b"\r\n"):
            raise HttpError(400, f"a line of the chunked coding ends in a bare LF: {shown(line)}")
        self._take_line(line)
        return end + 1

    def _check_unfinished(self, line: bytes) -> None:
        """Refuse early what cannot become right, so that nobody waits for a timeout to hear it."""
        if self._state is _State.DATA_END and not b"\r\n".startswith(line):
            raise HttpError(400, f"chunk data is not followed by CRLF: {shown(line)}")
        if b"\r" in line[:-1]:
            raise HttpError(400, f"bare CR in the chunked coding: {shown(line)}")

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise HttpError(400, f"not a chunk size: {shown(line[:-2])}")
            self._extensions += len(line) - len(match[1]) - 2
            if self._extensions > EXTENSIONS_LIMIT:
                raise HttpError(400, f"chunk extensions are over {EXTENSIONS_LIMIT} bytes")
            self._left = int(match[1], 16)
            self._state = _State.DATA if self._left else _State.TRAILERS
        elif self._state is _State.DATA_END:
            if line != b"\r\n":
                raise HttpError(400, f"chunk data is not followed by CRLF: {shown(line)}")
            self._state = _State.SIZE
        else:
            self._take_trailer(line)

    def _take_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self._state = _State.DONE
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILERS_LIMIT or len(self.trailers) >= TRAILER_COUNT_LIMIT:
            raise HttpError(400, f"trailers are over {TRAILERS_LIMIT} bytes or {TRAILER_COUNT_LIMIT} fields")
        field = parse_field(line[:-2])
        if field[3] & ~SECRET:
            raise HttpError(400, f"a field that may not be a trailer: {shown(field[0])}")
        self.trailers.append((field[2].partition(b":")[0], field[1]))


def encode_chunk(data: bytes) -> bytes:
    """Return one chunk.  Empty data would end the body, so it gives nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_end(trailers: object = ()) -> bytes:
    """Return the last chunk with its trailers, (name, value) pairs of bytes.

    :raises ValueError: a trailer is no header field.
    """
    if not trailers:
        return b"0\r\n\r\n"
    lines = [b"%b: %b\r\n" % pair for pair in trailers]  # type: ignore[attr-defined]
    for each in lines:
        if FIELD_LINE.fullmatch(each, 0, len(each) - 2) is None:
            raise ValueError(f"not a trailer: {shown(each[:-2])}")
    return b"0\r\n" + b"".join(lines) + b"\r\n"
