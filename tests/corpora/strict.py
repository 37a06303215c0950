"""The judge: reads what a proxy sent to its upstream, and forgives nothing.

Written on its own from RFC 9110 and 9112, with the standard library only, so that a mistake of our codec is not made
twice.  `read_requests` raises `NotClean` at anything that two servers might read differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TCHAR = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET = re.compile(rb"[\x21-\x7e]+")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
LINE = re.compile(rb"([^ ]+) ([^ ]+) HTTP/1\.[01]")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})")


class NotClean(Exception):
    """The bytes can be read in more than one way, or in none."""


@dataclass
class Clean:
    """One request, read whole."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field, by its name in lower case."""
        return [value for key, value in self.fields if key == name]


def read_requests(data: bytes) -> tuple[list[Clean], bytes]:
    """Read requests one after the other.

    :return: those that are complete, and what is left of one that is not.
    :raises NotClean: a head, a chunk or a trailer is not plainly what it should be.
    """
    found = []
    while data:
        request, rest = _read(data)
        if request is None:
            return found, data
        found.append(request)
        data = rest
    return found, b""


def _read(data: bytes) -> tuple[Clean | None, bytes]:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None, data
    head, rest = data[:end], data[end + 4 :]
    first, *lines = head.split(b"\r\n")
    match = LINE.fullmatch(first)
    if match is None or not TCHAR.fullmatch(match[1]) or not TARGET.fullmatch(match[2]) or b"#" in match[2]:
        raise NotClean(f"request line {first!r}")
    request = Clean(match[1], match[2], [_field(each) for each in lines], b"")
    return _read_body(request, rest)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not TCHAR.fullmatch(name):
        raise NotClean(f"field name in {line!r}")
    value = value.strip(b" \t")
    if not VALUE.fullmatch(value):
        raise NotClean(f"field value in {line!r}")
    return name.lower(), value


def _read_body(request: Clean, rest: bytes) -> tuple[Clean | None, bytes]:
    lengths, codings = request.values(b"content-length"), request.values(b"transfer-encoding")
    if len(request.values(b"host")) != 1:
        raise NotClean(f"Host {request.values(b'host')}")
    if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
        raise NotClean(f"framing {lengths} {codings}")
    for name in ("content_length", "transfer_encoding"):
        if request.values(name.encode()):
            raise NotClean(f"{name} passes for framing with some servers")
    if codings:
        if codings[0].lower() != b"chunked":
            raise NotClean(f"transfer coding {codings[0]!r}")
        return _read_chunks(request, rest)
    if lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise NotClean(f"Content-Length {lengths[0]!r}")
    size = int(lengths[0]) if lengths else 0
    if len(rest) < size:
        return None, b""
    request.body = rest[:size]
    return request, rest[size:]


def _read_chunks(request: Clean, rest: bytes) -> tuple[Clean | None, bytes]:
    while True:
        line, mark, after = rest.partition(b"\r\n")
        if not mark:
            if b"\n" in rest or len(rest) > 32:
                raise NotClean(f"chunk size line {rest[:60]!r}")
            return None, b""
        match = CHUNK.fullmatch(line)
        if match is None:
            raise NotClean(f"chunk size line {line!r}")
        size = int(match[1], 16)
        if not size:
            return _read_trailers(request, after)
        if len(after) < size + 2:
            return None, b""
        if after[size : size + 2] != b"\r\n":
            raise NotClean(f"chunk data is followed by {after[size : size + 8]!r}")
        request.body += after[:size]
        rest = after[size + 2 :]


def _read_trailers(request: Clean, rest: bytes) -> tuple[Clean | None, bytes]:
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return None, b""
        if not line:
            return request, rest
        name, value = _field(line)
        if name in (b"content-length", b"transfer-encoding", b"host", b"trailer"):
            raise NotClean(f"trailer {line!r}")
        request.trailers.append((name, value))
