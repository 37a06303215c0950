"""Header lines: parsed by llhttp, judged by our rules, remembered.

Clients and servers send the same lines again and again.  A line is parsed once, by llhttp and by our own expression,
which must agree; after that it is a look-up in a bounded table.  Measured (CPython 3.11) for a head of six fields:
llhttp with callbacks 1.3 us before any rule of ours is looked at, this table 1.1 us with all of them.
"""

from __future__ import annotations

import httptools

from twisted_mesh.codec.grammar import CONTENT_LENGTH, FIELD_LINE, HttpError, shown

Field = tuple[bytes, bytes, bytes, int]

# What a field means to a proxy: bits, so that one loop over a head can collect and compare them.
HOST = 1
LENGTH = 2
CODING = 4
CONNECTION = 8
UPGRADE = 16
EXPECT = 32
FORWARDED = 64
REQUEST_ID = 128
HOP = 256
TE = 512
CLOSE = 1024
KEEP = 2048
NOMINATES = 4096
UPGRADES = 8192
SECRET = 16384
DEADLINE = 32768

# May stand once only: two of them are two opinions about where the message ends or whom it is for.
SINGLE = HOST | LENGTH | CODING
# Never handed on as they came: the next hop gets its own.
DROPPED = LENGTH | CODING | CONNECTION | UPGRADE | HOP | TE

_SORTS: dict[bytes, int] = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"forwarded": FORWARDED,
    b"via": FORWARDED,
    b"x-request-id": REQUEST_ID,
    b"grpc-timeout": DEADLINE,
    b"x-mesh-timeout": DEADLINE,
    b"x-envoy-expected-rq-timeout-ms": DEADLINE,
    # RFC 9110 section 7.6.1, and the three that predate it.
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
    b"proxy-authorization": HOP | SECRET,
    b"http2-settings": HOP,
    b"te": TE,
    # Parsed each time, and in no head that is kept, so that nothing secret stays in memory.
    b"authorization": SECRET,
    b"cookie": SECRET,
    b"set-cookie": SECRET,
}
# Some servers read these as the field with the dash: two names for the message's end are one too many.
_LOOKALIKES = {b"content_length", b"transfer_encoding"}
# These must survive a Connection field that names them, or a client could strip what others rely on.
_NOT_NOMINATED = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"forwarded",
    b"via",
    b"x-request-id",
    b"authorization",
    b"cookie",
}

_LINE_KEPT = 512
_LINES_KEPT = 2048


class _Line:
    """Receives one header line from llhttp."""

    def __init__(self) -> None:
        self.name = b""
        self.value = b""
        self.count = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.name = name
        self.value = value
        self.count += 1


class LineTable:
    """Header lines that have been parsed and judged, newest 4,096 at most.

    There are two generations: when the younger is full it becomes the older, and a line found in the older moves to
    the younger.  So the lines in use stay without any bookkeeping on a hit.
    """

    __slots__ = ("_older", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, Field] = {}
        self._older: dict[bytes, Field] = {}

    def learn(self, line: bytes) -> Field:
        """Return the field of a line that is not in `known`.

        :raises HttpError: the line is no header field, or is one that is refused.
        """
        field = self._older.get(line)
        if field is None:
            field = parse_field(line)
        if len(line) <= _LINE_KEPT and not field[3] & SECRET:
            if len(self.known) >= _LINES_KEPT:
                self._older = self.known
                self.known = {}
            self.known[line] = field
        return field


def parse_field(line: bytes) -> Field:
    """Parse one header line, without its CRLF, into (lower-case name, value, line to send, sort).

    :raises HttpError: 400.
    """
    match = FIELD_LINE.fullmatch(line)
    if match is None:
        raise HttpError(400, _complaint(line))
    name, value = match[1], match[2] or b""
    seen = _Line()
    try:
        httptools.HttpRequestParser(seen).feed_data(b"POST / HTTP/1.1\r\n" + line + b"\r\n\r\n")
    except httptools.HttpParserError as error:
        raise HttpError(400, f"header field refused: {shown(line)} ({error})") from None
    if seen.count != 1 or seen.name != name or seen.value.rstrip(b" \t") != value:
        raise HttpError(400, f"header field can be read in two ways: {shown(line)}")
    lowered = name.lower()
    return (lowered, value, b"%b: %b" % (name, value), _sort(lowered, value))


def _complaint(line: bytes) -> str:
    if line[:1] in (b" ", b"\t"):
        return f"header field continues on a second line (obs-fold): {shown(line)}"
    name, colon, _ = line.partition(b":")
    if not colon:
        return f"header field without a colon: {shown(line)}"
    if name != name.rstrip(b" \t"):
        return f"white space before the colon: {shown(line)}"
    return f"header field with a character that is not allowed: {shown(line)}"


def _sort(name: bytes, value: bytes) -> int:
    sort = _SORTS.get(name, 0)
    if sort == LENGTH:
        if CONTENT_LENGTH.fullmatch(value) is None:
            raise HttpError(400, f"Content-Length is not one number: {shown(value)}")
    elif sort == CODING:
        if value.lower() != b"chunked":
            raise HttpError(400, f"Transfer-Encoding other than chunked: {shown(value)}")
    elif sort == CONNECTION:
        return _connection_sort(value)
    elif name in _LOOKALIKES:
        raise HttpError(400, f"header field that can be taken for another: {shown(name)}")
    return sort


def _connection_sort(value: bytes) -> int:
    sort = CONNECTION
    for option in connection_options(value):
        if option == b"close":
            sort |= CLOSE
        elif option == b"keep-alive":
            sort |= KEEP
        elif option == b"upgrade":
            sort |= UPGRADES
        elif option not in _SORTS:
            sort |= NOMINATES
    return sort


def connection_options(value: bytes) -> list[bytes]:
    """Return the options of a Connection field, in lower case."""
    return [each for each in (part.strip(b" \t").lower() for part in value.split(b",")) if each]


def without_nominated(fields: list[Field], connections: list[bytes]) -> list[Field]:
    """Return `fields` less those that the given Connection values name (RFC 9110 section 7.6.1)."""
    names = {option for value in connections for option in connection_options(value)} - _NOT_NOMINATED
    return [each for each in fields if each[0] not in names]
