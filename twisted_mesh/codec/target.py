"""Request lines and request targets: parsed strictly, paths normalised before anything matches on them.

Source: RFC 9112 section 3, RFC 3986 sections 3.3 and 5.2.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from twisted_mesh.codec.grammar import HOST, LIKE_REQUEST_LINE, REQUEST_LINE, HttpError, shown


@dataclass(frozen=True)
class Normalise:
    """What is done to a path before it is matched and forwarded.

    `escaped_slashes` says what becomes of ``%2F`` (and ``%5C``): ``keep``, ``decode`` or ``reject``; where dot segments
    are resolved and escaped slashes kept, none of both may stand side by side (``..%2F``).  `dot_parameters`
    says what becomes of ``..;x``, which is a name by RFC 3986 and a dot segment for servers that cut parameters off
    first (Tomcat, Jetty): ``keep`` or ``reject``.
    """

    dot_segments: bool = True
    merge_slashes: bool = True
    escaped_slashes: str = "keep"
    dot_parameters: str = "reject"


class RequestLine(NamedTuple):
    """What a request line says.  `start` is the line to send on, without its CRLF and with version 1.1."""

    operation: str
    target: bytes
    path: str
    query: str
    authority: bytes
    minor: int
    start: bytes


# A path in which there is nothing to normalise, which is nearly every one.
_PLAIN = re.compile(rb"(?:/(?!\.{1,2}(?:[/;]|$))[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+/?|/")
# Bytes that a path or query should have escaped; sent on escaped, so that nobody further in reads them in two ways.
_UNSAFE = re.compile(rb"[\x80-\xff\"<>\\^`{|}]")
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Escapes of characters that need none (RFC 3986, 2.3): letters, digits, hyphen, underscore, tilde; and the dot.
_NEEDLESS = re.compile(rb"%(?:2D|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE)
_DOT = re.compile(rb"%2E", re.IGNORECASE)
_SLASHES = re.compile(rb"%2f|%5c", re.IGNORECASE)
_DOTS_BESIDE = re.compile(rb"(?:/|%2f|%5c)\.{1,2}(?:%2f|%5c)|(?:%2f|%5c)\.{1,2}(?:/|$)", re.IGNORECASE)
_DOT_PARAMETERS = re.compile(rb"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?:;|%3b)", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"(https?)://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_VERSION = re.compile(rb"HTTP/[0-9.]+")
_VERSIONS = {(b"1", b"1"): 1, (b"1", b"0"): 0}


def parse_request_line(line: bytes, normalise: Normalise) -> RequestLine:
    """Parse a request line, without its CRLF.

    :raises HttpError: 400; 405 for CONNECT; 505 for a version other than 1.0 and 1.1.
    """
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _refusal(line)
    method, target = match[1], match[2]
    minor = _VERSIONS.get((match[3], match[4]))
    if minor is None:
        raise HttpError(505, f"HTTP version not supported: {shown(line[-8:])}")
    if method == b"CONNECT":
        raise HttpError(405, "CONNECT is not offered here")
    authority, path, query = _split(method, target)
    path = normalise_path(path, normalise) if path != b"*" else path
    question = b"?" if query or target.endswith(b"?") else b""
    sent = path + question + query
    return RequestLine(
        method.decode("ascii"),
        sent,
        path.decode("ascii"),
        query.decode("ascii"),
        authority,
        minor,
        b"%b %b HTTP/1.1" % (method, sent),
    )


def _refusal(line: bytes) -> HttpError:
    match = LIKE_REQUEST_LINE.fullmatch(line)
    if match is not None and _TARGET.fullmatch(match[2]) and _VERSION.fullmatch(match[3]):
        return HttpError(505, f"HTTP version not supported: {shown(match[3])}")
    return HttpError(400, f"not an HTTP/1.1 request line: {shown(line)}")


def _split(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes]:
    """Return (authority, path, query) of a request target in any of its forms (RFC 9112 section 3.2)."""
    authority = b""
    if b"#" in target:
        raise HttpError(400, f"request target with a fragment: {shown(target)}")
    if target == b"*":
        if method != b"OPTIONS":
            raise HttpError(400, "the target * is for OPTIONS only")
        return b"", b"*", b""
    if not target.startswith(b"/"):
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise HttpError(400, f"request target is neither a path nor an http URL: {shown(target)}")
        authority = check_host(match[2])
        target = match[3] if match[3].startswith(b"/") else b"/" + match[3]
    path, _, query = target.partition(b"?")
    return authority, path, _UNSAFE.sub(_escaped, query)


def check_host(value: bytes) -> bytes:
    """Return a Host value or authority if it is one.

    :raises HttpError: 400.
    """
    match = HOST.fullmatch(value)
    if match is None or (match[2] is not None and int(match[2]) > 65535):
        raise HttpError(400, f"not a host: {shown(value)}")
    return value


def host_name(authority: bytes) -> str:
    """Return the host of an authority as it is matched: lower case, no port, no trailing dot."""
    host = authority.partition(b"]")[0] + b"]" if authority.startswith(b"[") else authority.partition(b":")[0]
    return host.decode("latin-1").lower().rstrip(".")


def normalise_path(path: bytes, how: Normalise) -> bytes:
    """Return the path that is matched and sent on.

    Dot segments are removed, also where the dots were escaped; runs of slashes become one; escaped slashes are kept,
    decoded or refused.  Characters that need no escape lose theirs, as servers read them so (RFC 3986, 6.2.2.2): a rule
    for ``/admin`` holds for ``/%61dmin``.  Case and other escapes are left alone.

    :raises HttpError: 400 for an escape that is none, for ``%00``, for an escaped slash or a dot segment with
        parameters where they are refused, and for a dot segment beside an escaped slash that is kept.
    """
    if _PLAIN.fullmatch(path) is not None:
        return path
    if _ESCAPE.search(path) is not None:
        raise HttpError(400, f"path with a % that escapes nothing: {shown(path)}")
    if b"%00" in path:
        raise HttpError(400, "path with an escaped NUL")
    path = _UNSAFE.sub(_escaped, path)
    if b"%" in path:
        path = _NEEDLESS.sub(_unescaped, path)
        if how.dot_segments:
            path = _DOT.sub(b".", path)
    if how.escaped_slashes == "keep":
        if how.dot_segments and _DOTS_BESIDE.search(path) is not None:
            # For servers that decode before they resolve it is another path than the one that rules are held against.
            raise HttpError(400, f"path with a dot segment beside an escaped slash: {shown(path)}")
    elif _SLASHES.search(path) is not None:
        if how.escaped_slashes == "reject":
            raise HttpError(400, f"path with an escaped slash: {shown(path)}")
        path = _SLASHES.sub(b"/", path)
    if how.dot_parameters == "reject" and _DOT_PARAMETERS.search(path) is not None:
        raise HttpError(400, f"path with parameters behind a dot segment: {shown(path)}")
    if how.merge_slashes:
        path = re.sub(rb"/{2,}", b"/", path)
    return _without_dots(path) if how.dot_segments else path


def _without_dots(path: bytes) -> bytes:
    kept: list[bytes] = []
    segments = path.split(b"/")
    last = len(segments) - 1
    for index, segment in enumerate(segments[1:], 1):
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
            continue
        if index == last:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[0][1:], 16),))


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
