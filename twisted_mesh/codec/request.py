"""Request heads: one loop over lines that are mostly known."""

from __future__ import annotations

from typing import Optional

from twisted_mesh.codec import lines as sorts
from twisted_mesh.codec.grammar import (
    FIELD_LIMIT,
    HEAD_LIMIT,
    LIKE_REQUEST_LINE,
    NOT_TEXT,
    TARGET_LIMIT,
    HttpError,
    shown,
)
from twisted_mesh.codec.lines import Field, LineTable, without_nominated
from twisted_mesh.codec.target import Normalise, RequestLine, check_host, parse_request_line

CHUNKED = -1

# A head with none of these is finished when its fields have been looked at.
_MORE = sorts.CODING | sorts.NOMINATES | sorts.UPGRADE | sorts.EXPECT
NORMALISE = Normalise()
# How a client begins that speaks TLS: a handshake record of version 3 (RFC 8446, 5.1).
_HANDSHAKE = b"\x16\x03"
_LINES_KEPT = 1024
_LINE_KEPT = 512
# Bytes of a request line beside its target: the method, the version and two spaces.
_BESIDE_TARGET = 63


# A request head that was accepted: (line, fields, host, length, seen, upgrade).
#
# `fields` are the end-to-end fields, in order, less the framing; `host` is the Host field, None for an HTTP/1.0 request
# without one; `length` is the length of the body, `CHUNKED` for a chunked one; `seen` collects the sorts of all fields
# (`codec.lines`); `upgrade` is the protocol asked for, "" where the request may not be upgraded.
#
# A plain tuple, as there is one for each request: making a NamedTuple costs 0.25 us more.
RequestHead = tuple[RequestLine, list[Field], Optional[Field], int, int, str]


class RequestReader:
    """Reads request heads for one listener.

    :param normalise: what is done to paths.
    :param head_limit: bytes of a head, :param target_limit: bytes of a request target, :param field_limit: fields.
    """

    __slots__ = ("_field_limit", "_fields", "_lines", "_normalise", "head_limit", "target_limit")

    def __init__(
        self,
        normalise: Normalise = NORMALISE,
        head_limit: int = HEAD_LIMIT,
        target_limit: int = TARGET_LIMIT,
        field_limit: int = FIELD_LIMIT,
    ) -> None:
        self._normalise = normalise
        self._field_limit = field_limit
        self._fields = LineTable()
        self._lines: dict[bytes, RequestLine] = {}
        self.head_limit = head_limit
        self.target_limit = target_limit

    def read(self, head: bytes) -> RequestHead:
        """Read a head, without the empty line that ends it.

        :raises HttpError: 400, 405, 414, 431 or 505.
        """
        texts = head.split(b"\r\n")
        line = self._lines.get(texts[0])
        if line is None:
            line = self._learn_line(texts[0])
        if len(head) > self.head_limit:
            raise HttpError(431, f"the request head is over {self.head_limit} bytes")
        if len(texts) > self._field_limit + 1:
            raise HttpError(431, f"the request has over {self._field_limit} header fields")
        fields: list[Field] = []
        host: Optional[Field] = None
        length = seen = 0
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
            if sort & seen & sorts.SINGLE:
                raise HttpError(400, f"header field stands twice: {shown(field[0])}")
            seen |= sort
            if not sort & sorts.DROPPED:
                fields.append(field)
                if sort == sorts.HOST:
                    host = field
            elif sort == sorts.LENGTH:
                length = int(field[1])
        if seen & _MORE or host is None or line.authority:
            return self._special(line, fields, host, length, seen, texts)
        if host[1] not in _hosts:
            check_known_host(host)
        return line, fields, host, length, seen, ""

    def check_partial(self, data: bytearray, start: int) -> None:
        """Look at the beginning of a head that is not complete: what cannot become right is refused at once.

        :param start: how much of it has been looked at before, so that a head that drips in costs no more.
        :raises HttpError: as `read`.
        """
        longest = self.target_limit + _BESIDE_TARGET
        end = data.find(b"\r\n", max(0, start - 1), longest + 2)
        if end >= 0 and b"\n" not in data[:end]:
            self._lines.get(bytes(data[:end])) or self._learn_line(bytes(data[:end]))
        elif len(data) > longest + 1 and b"\r\n" not in data[: longest + 2]:
            raise _first_line_too_long(bytes(data), self.target_limit)
        if len(data) > self.head_limit + len(b"\r\n\r"):
            raise HttpError(431, f"the request head is over {self.head_limit} bytes")
        bad = NOT_TEXT.search(data, max(0, start - 1))
        if bad is not None:
            if data.startswith(_HANDSHAKE):
                raise HttpError(400, "this is TLS, and the listener speaks plain HTTP")
            raise HttpError(400, f"the request head holds {shown(bytes(bad[0]))}")

    def _learn_line(self, text: bytes) -> RequestLine:
        if len(text) > self.target_limit:
            match = LIKE_REQUEST_LINE.fullmatch(text)
            if match is None or len(match[2]) > self.target_limit or len(text) > self.target_limit + _BESIDE_TARGET:
                raise _first_line_too_long(text, self.target_limit)
        line = parse_request_line(text, self._normalise)
        if len(text) <= _LINE_KEPT:
            if len(self._lines) >= _LINES_KEPT:
                self._lines.clear()
            self._lines[text] = line
        return line

    def _special(
        self,
        line: RequestLine,
        fields: list[Field],
        host: Optional[Field],
        length: int,
        seen: int,
        texts: list[bytes],
    ) -> RequestHead:
        """Finish a head that has more to it than plain fields and a Host."""
        if seen & sorts.CODING:
            if seen & sorts.LENGTH:
                raise HttpError(400, "both Content-Length and Transfer-Encoding")
            if not line.minor:
                raise HttpError(400, "Transfer-Encoding in an HTTP/1.0 request")
            length = CHUNKED
        if host is None:
            if line.minor and not seen & sorts.HOST:
                raise HttpError(400, "no Host header field")
        else:
            check_known_host(host)
        if line.authority:
            fields, host = _by_authority(line, fields, host)
        if seen & sorts.NOMINATES:
            fields = without_nominated(fields, values_of(texts, b"connection"))
        if seen & sorts.EXPECT:
            fields = _expectation(line, fields)
        return line, fields, host, length, seen, _upgrade(line, length, seen, texts)


def values_of(texts: list[bytes], name: bytes) -> list[bytes]:
    """Return the values of a field, by its lower-case name, from the lines of a head."""
    split = (each.partition(b":") for each in texts[1:])
    return [value.strip(b" \t") for found, _, value in split if found.lower() == name]


def _expectation(line: RequestLine, fields: list[Field]) -> list[Field]:
    """Hold Expect against RFC 9110 section 10.1.1: one expectation is known, and HTTP/1.0 has none."""
    if not line.minor:
        return [each for each in fields if each[3] != sorts.EXPECT]
    for each in fields:
        if each[3] == sorts.EXPECT and each[1].lower() != b"100-continue":
            raise HttpError(417, f"expectation not known: {shown(each[1])}")
    return fields


def _upgrade(line: RequestLine, length: int, seen: int, texts: list[bytes]) -> str:
    """Return the protocol that the request may be upgraded to.

    Only a GET without a body may: anything else desynchronises servers that take the rest of the connection for the
    new protocol.  h2c never may: behind it, requests would pass by every rule of the listener.
    """
    if not seen & sorts.UPGRADE or not seen & sorts.UPGRADES or not line.minor:
        return ""
    if line.operation != "GET" or length:
        return ""
    asked = [each.strip(b" \t") for value in values_of(texts, b"upgrade") for each in value.split(b",")]
    wanted = [each for each in asked if each and each.lower() not in (b"h2c", b"h2")]
    return b", ".join(wanted).decode("latin-1")


_hosts: set[bytes] = set()
_HOSTS_KEPT = 1024


def check_known_host(field: Field) -> None:
    """Refuse a Host field whose value is no host; values that were right are remembered.

    :raises HttpError: 400.
    """
    if field[1] in _hosts:
        return
    check_host(field[1])
    if len(_hosts) >= _HOSTS_KEPT:
        _hosts.clear()
    _hosts.add(field[1])


def _by_authority(line: RequestLine, fields: list[Field], host: Optional[Field]) -> tuple[list[Field], Optional[Field]]:
    """Hold an absolute-form target against the Host field; a request must not name two hosts."""
    if host is None:
        made: Field = (b"host", line.authority, b"Host: " + line.authority, sorts.HOST)
        return [made, *fields], made
    if host[1].lower() != line.authority.lower():
        raise HttpError(400, f"the target is for {shown(line.authority)}, the Host field for {shown(host[1])}")
    return fields, host


def _first_line_too_long(text: bytes, limit: int) -> HttpError:
    if b" " in text[:64]:
        return HttpError(414, f"the request target is over {limit} bytes")
    return HttpError(400, f"not an HTTP/1.1 request line: {shown(text)}")
