"""Replies as bytes: which framing, which Connection, in one piece where the body is whole."""

from __future__ import annotations

from twisted_mesh.call import Reply
from twisted_mesh.codec.chunked import encode_chunk, encode_end
from twisted_mesh.codec.lines import Field
from twisted_mesh.codec.write import LINE_KEPT, head, status_line

# What ends a head, by (minor version, keep the connection).  HTTP/1.0 must be told that it is kept, 1.1 that it is not.
_ENDS: dict[tuple[int, bool], bytes] = {
    (1, True): b"\r\n",
    (1, False): b"connection: close\r\n\r\n",
    (0, True): b"connection: keep-alive\r\n\r\n",
    (0, False): b"connection: close\r\n\r\n",
}
BODILESS = (204, 304)
_first_lines: dict[tuple[int, bytes], bytes] = {}
_FIRST_LINES_KEPT = 1024


def first_line(status: int, reason: bytes) -> bytes:
    """Return the status line of an HTTP/1.1 reply that has a body."""
    line = _first_lines.get((status, reason))
    if line is None:
        line = _final_line(1, status, reason)
        if len(line) > LINE_KEPT:
            return line
        if len(_first_lines) >= _FIRST_LINES_KEPT:
            _first_lines.clear()
        _first_lines[status, reason] = line
    return line


def _final_line(minor: int, status: int, reason: bytes) -> bytes:
    if status < 200:
        raise ValueError(f"a reply cannot have the status {status}")
    return status_line(minor, status, reason)


def interim(reply: Reply) -> bytes:
    """Return an interim reply (1xx): a head, nothing else."""
    return head(status_line(1, reply.status, reply.reason), reply.headers.fields, b"\r\n")


def upgraded(reply: Reply, protocol: str) -> bytes:
    """Return the head of a 101."""
    more = b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % protocol.encode("latin-1")
    return head(status_line(1, reply.status, reply.reason), reply.headers.fields, more)


def whole(reply: Reply, body: bytes, minor: int, operation: str, keep: bool) -> bytes:
    """Return a reply whose body is all there, in one piece."""
    first = _final_line(minor, reply.status, reply.reason)
    fields = reply.headers.fields
    end = _ENDS[minor, keep]
    if operation == "HEAD" or reply.status in BODILESS:
        if reply.local and reply.status not in BODILESS:
            end = b"content-length: %d\r\n%b" % (len(body), end)
        return head(first, fields, end)
    if reply.bare:
        fields = _unmeasured(fields)
    if reply.trailers and minor:
        coded = encode_chunk(body) + encode_end(reply.trailers)
        return head(first, fields, b"transfer-encoding: chunked\r\n" + end) + coded
    return head(first, fields, b"content-length: %d\r\n%b" % (len(body), end)) + body


def streamed(reply: Reply, minor: int, length: int, keep: bool) -> bytes:
    """Return the head of a reply whose body follows.

    :param length: bytes of body; -1: chunked, -2: until the connection closes.
    """
    first = _final_line(minor, reply.status, reply.reason)
    end = _ENDS[minor, keep]
    if length >= 0:
        end = b"content-length: %d\r\n%b" % (length, end)
    elif length == -1:
        end = b"transfer-encoding: chunked\r\n" + end
    return head(first, _unmeasured(reply.headers.fields), end)


def _unmeasured(fields: list[Field]) -> list[Field]:
    """Leave out what a reply said of a body that it did not have: a filter has given it one."""
    return [each for each in fields if each[0] != b"content-length"]
