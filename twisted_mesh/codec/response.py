"""Response heads, read as strictly as requests: what an upstream says ambiguously is not passed on."""

from __future__ import annotations

from typing import NamedTuple

from twisted_mesh.codec import lines as sorts
from twisted_mesh.codec.grammar import FIELD_LIMIT, HEAD_LIMIT, NOT_TEXT, STATUS_LINE, HttpError, shown
from twisted_mesh.codec.lines import Field, LineTable, connection_options, without_nominated
from twisted_mesh.codec.request import values_of
from twisted_mesh.codec.write import LINE_KEPT

CHUNKED = -1
UNTIL_CLOSE = -2
NO_BODY = 0

_STATUS_LINES_KEPT = 256
_BODILESS = (204, 304)
# A head whose fields say nothing of these but a length is finished when they have been looked at.
_MORE = sorts.LENGTH | sorts.CODING | sorts.CLOSE | sorts.NOMINATES | sorts.UPGRADE


class StatusLine(NamedTuple):
    """What a status line says; `counted`: a body is delimited by its length alone, and the connection is kept."""

    minor: int
    status: int
    reason: bytes
    counted: bool


# A response head that was accepted: (line, fields, length, keep, upgrade, seen).
#
# `length` is the length of the body, or `CHUNKED` or `UNTIL_CLOSE`; `keep` says whether the connection may be used
# again; `upgrade` is the protocol of a 101, in lower case; `seen` as in `RequestHead`.  Framing and hop-by-hop fields
# are not in `fields`, but the Content-Length of an answer without a body (to HEAD, or 304) is: there it is information.
# A plain tuple for the same reason as `RequestHead`.
ResponseHead = tuple[StatusLine, list[Field], int, bool, bytes, int]


class ResponseReader:
    """Reads response heads.  One serves all connections of a process: it holds nothing but its line tables."""

    __slots__ = ("_fields", "_lines", "head_limit")

    def __init__(self, head_limit: int = HEAD_LIMIT) -> None:
        self._fields = LineTable()
        self._lines: dict[bytes, StatusLine] = {}
        self.head_limit = head_limit

    def read(self, head: bytes, operation: str) -> ResponseHead:
        """Read a head, without the empty line that ends it, that answers a request of method `operation`.

        :raises HttpError: the head is malformed or can be read in two ways.
        """
        texts = head.split(b"\r\n")
        line = self._lines.get(texts[0])
        if line is None:
            line = self._learn_line(texts[0])
        if len(texts) > FIELD_LIMIT + 1:
            raise HttpError(502, f"the answer has over {FIELD_LIMIT} header fields")
        if len(head) > self.head_limit:
            raise HttpError(502, f"the answer's head is over {self.head_limit} bytes")
        fields: list[Field] = []
        length = UNTIL_CLOSE
        seen = 0
        known = self._fields.known
        for text in texts[1:]:
            field = known.get(text)
            if field is None:
                field = self._fields.learn(text)
                known = self._fields.known
            sort = field[3]
            if not sort:
                fields.append(field)
                continue
            if sort & seen & (sorts.LENGTH | sorts.CODING):
                raise HttpError(502, f"header field stands twice: {shown(field[0])}")
            seen |= sort
            if not sort & sorts.DROPPED:
                fields.append(field)
            elif sort == sorts.LENGTH:
                length = int(field[1])
        if seen & _MORE == sorts.LENGTH and line.counted and operation != "HEAD":
            return line, fields, length, True, b"", seen
        return self._special(line, fields, length, seen, texts, operation)

    def check_partial(self, data: bytearray, start: int) -> None:
        """Look at the beginning of a head that is not complete.

        :param start: how much of it has been looked at before.
        :raises HttpError: it cannot become right.
        """
        if len(data) > self.head_limit + len(b"\r\n\r"):
            raise HttpError(502, f"the answer's head is over {self.head_limit} bytes")
        if start < 7 and not b"HTTP/1.".startswith(bytes(data[:7])):
            raise HttpError(502, f"not an HTTP/1.1 status line: {shown(bytes(data[:60]))}")
        bad = NOT_TEXT.search(data, max(0, start - 1))
        if bad is not None:
            raise HttpError(502, f"the answer's head holds {shown(bytes(bad[0]))}")

    def _learn_line(self, text: bytes) -> StatusLine:
        match = STATUS_LINE.fullmatch(text)
        if match is None:
            raise HttpError(502, f"not an HTTP/1.1 status line: {shown(text)}")
        minor, status = int(match[1]), int(match[2])
        counted = minor == 1 and status >= 200 and status not in _BODILESS
        line = StatusLine(minor, status, match[3] or b"", counted)
        if len(text) <= LINE_KEPT:
            if len(self._lines) >= _STATUS_LINES_KEPT:
                self._lines.clear()
            self._lines[text] = line
        return line

    def _special(
        self, line: StatusLine, fields: list[Field], length: int, seen: int, texts: list[bytes], operation: str
    ) -> ResponseHead:
        """Finish a head whose body is not simply counted, or that says more about its connection."""
        if seen & sorts.CODING:
            if seen & sorts.LENGTH:
                raise HttpError(502, "both Content-Length and Transfer-Encoding")
            if not line.minor:
                raise HttpError(502, "Transfer-Encoding in an HTTP/1.0 answer")
            length = CHUNKED
        keep = not seen & sorts.CLOSE and (bool(line.minor) or bool(seen & sorts.KEEP))
        bodiless = line.status < 200 or line.status in (204, 304)
        if bodiless or operation == "HEAD":
            # RFC 9112 section 6.3: these end with their head, whatever the fields say.  A 204 or 1xx that says
            # otherwise is not trusted with another request.
            if length not in (UNTIL_CLOSE, NO_BODY) and line.status < 300 and bodiless:
                keep = False
            if length >= 0 and line.status != 204 and line.status >= 200:
                fields.append((b"content-length", b"%d" % length, b"content-length: %d" % length, sorts.LENGTH))
            length = NO_BODY
        elif length == UNTIL_CLOSE:
            keep = False
        if seen & sorts.NOMINATES:
            fields = without_nominated(fields, values_of(texts, b"connection"))
        return line, fields, length, keep, _upgrade(line, seen, texts), seen


def _upgrade(line: StatusLine, seen: int, texts: list[bytes]) -> bytes:
    if line.status != 101:
        return b""
    if not seen & sorts.UPGRADE or not seen & sorts.UPGRADES:
        raise HttpError(502, "a 101 answer without Upgrade and Connection: upgrade")
    protocols = [each for value in values_of(texts, b"upgrade") for each in connection_options(value)]
    if len(protocols) != 1:
        raise HttpError(502, "a 101 answer that does not name one protocol")
    return protocols[0]
