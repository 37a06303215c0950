"""Our own table of requests that must be refused, and of odd ones that must not be.

Every entry of `REFUSED` is a whole request that no upstream may ever see, with the status its sender is told.  Entries
of `CUT` are wrong in their body, which may have been on its way already: the upstream may see a beginning, never a
complete request.  `SERVED` holds what looks suspicious and is right.
"""

# One case on one line, however long: these are tables.

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """A request, and the statuses that may answer it."""

    name: str
    data: bytes
    statuses: tuple[int, ...] = (400,)


def _get(*lines: bytes, first: bytes = b"GET /bad HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A request without a body; an empty `host` leaves the field out."""
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return _get(*lines, first=b"POST /bad HTTP/1.1") + body


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

FRAMING = [
    Bad("Content-Length and Transfer-Encoding", _post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=CHUNKS)),
    Bad("Transfer-Encoding and Content-Length", _post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=CHUNKS)),
    Bad("Content-Length 0 and chunked", _post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=CHUNKS)),
    Bad("differing Content-Length", _post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")),
    Bad("repeated Content-Length", _post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    Bad("repeated Content-Length, other case", _post(b"Content-Length: 5", b"CONTENT-LENGTH: 5", body=b"hello")),
    *(
        Bad(f"Content-Length {value!r}", _post(b"Content-Length: " + value, body=b"hello"))
        for value in (
            b"", b"+5", b"-5", b"5 5", b"5, 5", b"5,6", b"0x5", b"5;", b"5.0", b"1e1", b"five", b"5\x0b", b"\x0b5", b"5\x00",
            b'"5"', b"\xef\xbc\x95", b"18446744073709551616", b"18446744073709551621", b"9" * 40, b"5_0",
        )
    ),
    *(
        Bad(f"Transfer-Encoding {value!r}", _post(b"Transfer-Encoding: " + value, body=CHUNKS), (400, 501))
        for value in (
            b"", b"gzip", b"identity", b"chunked, gzip", b"chunked, identity", b"chunked, chunked", b"xchunked", b"chunkedx",
            b"chunked;", b"chunked;a=b", b"chunked,", b",chunked", b'"chunked"', b"chunked\x0b", b"\x0bchunked", b"chun ked",
            b"chunked\x00", b"gzip, chunked, gzip", b"\xa0chunked",
        )
    ),
    Bad("Transfer-Encoding twice", _post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS)),
    Bad("Transfer-Encoding twice, second other",
        _post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKS), (400, 501)),
    Bad("Transfer-Encoding in HTTP/1.0",
        _get(b"Transfer-Encoding: chunked", first=b"POST /bad HTTP/1.0") + CHUNKS),
    Bad("Transfer-Encoding folded", _post(b"Transfer-Encoding:", b" chunked", body=CHUNKS)),
    Bad("Transfer_Encoding", _post(b"Transfer_Encoding: chunked", body=CHUNKS)),
    Bad("Content_Length", _post(b"Content_Length: 5", body=b"hello")),
]  # fmt: skip

FIELDS = [
    Bad("space before the colon", _get(b"X : a")),
    Bad("tab before the colon", _get(b"X\t: a")),
    Bad("space before the colon of Content-Length", _post(b"Content-Length : 5", body=b"hello")),
    Bad("space in a name", _get(b"X Y: a")),
    Bad("space before a name, first field", b"GET /bad HTTP/1.1\r\n Host: a\r\n\r\n"),
    Bad("obs-fold with a space", _get(b"X: a", b" b")),
    Bad("obs-fold with a tab", _get(b"X: a", b"\tb")),
    Bad("obs-fold of white space only", _get(b"X: a", b"  ")),
    Bad("obs-fold that hides a field", _get(b"X: a", b" Content-Length: 5")),
    Bad("no colon", _get(b"X")),
    Bad("no name", _get(b": a")),
    Bad("bare CR in a value", _get(b"X: a\rY: b")),
    Bad("bare CR at the end of a value", _get(b"X: a\r")),
    Bad("bare CR in a name", _get(b"X\rY: b")),
    Bad("bare CR before the empty line", b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n"),
    Bad("bare LF behind a field", b"GET /bad HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    Bad("bare LF behind the request line", b"GET /bad HTTP/1.1\nHost: a\r\n\r\n"),
    Bad("bare LF everywhere", b"GET /bad HTTP/1.1\nHost: a\n\n"),
    Bad("bare LF as the empty line", b"GET /bad HTTP/1.1\r\nHost: a\r\n\n"),
    Bad("bare LF that hides a length", b"POST /bad HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 5\r\n\r\nhello"),
    *(Bad(f"control character {code:#04x} in a value", _get(b"X: a%cb" % code))
      for code in (*range(9), *range(11, 13), *range(14, 32), 127)),
    *(Bad(f"character {bytes([code])!r} in a name", _get(b"X%cY: a" % code))
      for code in (0, 1, 9, 11, 12, 31, 32, *b'"(),/;<=>?@[\\]{}', 127, 128, 0xE9, 255)),
]  # fmt: skip

HOSTS = [
    Bad("no Host", _get(host=b"")),
    Bad("two Hosts", _get(b"Host: b")),
    Bad("two equal Hosts", _get(b"Host: a")),
    *(
        Bad(f"Host {value!r}", _get(host=b"Host: " + value))
        for value in (
            b"", b"a b", b"a/b", b"a?b", b"a#b", b"u@a", b"u:p@a", b"a:b", b"a:", b"a:80:80", b"a:99999", b"a:-1", b":80",
            b"[::1", b"::1", b"[::1]a", b"a\x00", b"a\\b", b"http://a", b"a<b", b"a\tb", b"\xc3\xa9", b"a%zz",
        )
    ),
    Bad("absolute form of another host", _get(first=b"GET http://b/bad HTTP/1.1")),
    Bad("absolute form of another port", _get(first=b"GET http://a:81/bad HTTP/1.1", host=b"Host: a:82")),
    Bad("absolute form with userinfo", _get(first=b"GET http://u@a/bad HTTP/1.1")),
    Bad("absolute form without a host", _get(first=b"GET http:///bad HTTP/1.1")),
    Bad("absolute form of another scheme", _get(first=b"GET ftp://a/bad HTTP/1.1")),
    Bad("absolute form without Host", _get(first=b"GET http://a/bad HTTP/1.1", host=b"")),
]  # fmt: skip

LINES = [
    *(
        Bad(f"request line {line!r}", _get(first=line), statuses)
        for line, statuses in (
            (b"GET /bad", (400,)), (b"GET", (400,)), (b"GET /bad HTTP/1.1 ", (400,)), (b"GET  /bad HTTP/1.1", (400,)),
            (b"GET /bad  HTTP/1.1", (400,)), (b"GET\t/bad HTTP/1.1", (400,)), (b"GET /bad\tHTTP/1.1", (400,)),
            (b" GET /bad HTTP/1.1", (400,)), (b"GET /b ad HTTP/1.1", (400,)), (b"GET HTTP/1.1", (400,)),
            (b"G(T /bad HTTP/1.1", (400,)), (b"G\x00T /bad HTTP/1.1", (400,)), (b"\xc3\x89 /bad HTTP/1.1", (400,)),
            (b"GET /bad HTTP/2.0", (505,)), (b"GET /bad HTTP/3.0", (505,)), (b"GET /bad HTTP/0.9", (505,)),
            (b"GET /bad HTTP/1.2", (505,)), (b"GET /bad HTTP/9.9", (505,)), (b"GET /bad HTTP/1.10", (400, 505)),
            (b"GET /bad HTTP/11.1", (400, 505)), (b"GET /bad HTTP/1", (400, 505)), (b"GET /bad HTTP/1.", (400, 505)),
            (b"GET /bad HTTP/1,1", (400, 505)), (b"GET /bad HTTP/1.1x", (400, 505)), (b"GET /bad http/1.1", (400, 505)),
            (b"GET /bad HTTP /1.1", (400,)), (b"GET /bad RTSP/1.0", (400, 505)), (b"GET /bad ICE/1.0", (400, 505)),
            (b"GET /bad HTTPS/1.1", (400, 505)), (b"GET bad HTTP/1.1", (400,)), (b"GET * HTTP/1.1", (400,)),
            (b"GET ?a HTTP/1.1", (400,)), (b"GET /bad#there HTTP/1.1", (400,)), (b"GET # HTTP/1.1", (400,)),
            (b"GET /b\x00d HTTP/1.1", (400,)), (b"GET /b\x01d HTTP/1.1", (400,)), (b"GET /b\x7fd HTTP/1.1", (400,)),
            (b"GET /b\x0bd HTTP/1.1", (400,)), (b"GET /b\rd HTTP/1.1", (400,)), (b"GET /b%00d HTTP/1.1", (400,)),
            (b"GET /b%zzd HTTP/1.1", (400,)), (b"GET /bad% HTTP/1.1", (400,)),
            (b"CONNECT a:80 HTTP/1.1", (405,)), (b"CONNECT /bad HTTP/1.1", (405, 400)), (b"CONNECT a HTTP/1.1", (405, 400)),
            (b"PRI * HTTP/2.0", (505, 400)), (b"OPTIONS *a HTTP/1.1", (400,)),
        )
    ),
    Bad("HTTP/0.9", b"GET /bad\r\n"),
    Bad("the start of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(80) + b"\r\n\r\n"),
    Bad("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), (400, 505)),
    Bad("a NUL in front", b"\0" + _get()),
    Bad("a line feed in front", b"\n" + _get()),
    Bad("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    Bad("Redis", b"*1\r\n$4\r\nPING\r\n\r\n"),
    Bad("a PROXY line", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + _get()),
]  # fmt: skip

SIZES = [
    Bad("a header of 61 KiB", _get(b"X: " + b"a" * 61 * 1024), (431,)),
    Bad("61 headers of 1 KiB", _get(*(b"X%d: " % n + b"a" * 1024 for n in range(61))), (431,)),
    Bad("a header line that does not end", b"GET /bad HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70 * 1024, (431,)),
    Bad("a header name that does not end", b"GET /bad HTTP/1.1\r\nHost: a\r\n" + b"a" * 70 * 1024, (431,)),
    Bad("101 headers", _get(*(b"X%d: a" % n for n in range(100))), (431,)),
    Bad("a thousand headers", _get(*(b"X%d: a" % n for n in range(1000))), (431,)),
    Bad("a URL over 8 KiB", _get(first=b"GET /" + b"a" * 8192 + b" HTTP/1.1"), (414,)),
    Bad("a query over 8 KiB", _get(first=b"GET /?" + b"a" * 8192 + b" HTTP/1.1"), (414,)),
    Bad("a request line that does not end", b"GET /" + b"a" * 70 * 1024, (414,)),
    Bad("a method that does not end", b"A" * 70 * 1024, (400, 414, 431)),
]

REFUSED = FRAMING + FIELDS + HOSTS + LINES + SIZES


def _chunked(body: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", body=body)


CUT = [
    *(
        Bad(f"chunk size {size!r}", _chunked(size + b"\r\nhello\r\n0\r\n\r\n"))
        for size in (
            b"", b" 5", b"5 ", b"\t5", b"5\t", b"0x5", b"+5", b"-5", b"5,", b"g", b"5g", b"5 5", b"5\x00", b"\xb5", b"5\x0b",
            b"1" + b"0" * 15 + b"5", b"f" * 17, b"0" * 64 + b"5", b"5;", b"5;=", b"5;a=", b'5;a="', b'5;a="b', b'5;a="b\x00"',
            b"5;a=b\r", b"5\r", b"5;a\x01b", b"5;\x00", b"5:a",
        )
    ),
    Bad("chunk size line ends in LF", _chunked(b"5\nhello\r\n0\r\n\r\n")),
    Bad("chunk extension ends in LF", _chunked(b"5;a=b\nhello\r\n0\r\n\r\n")),
    Bad("CR CR LF behind a chunk size", _chunked(b"5\r\r\nhello\r\n0\r\n\r\n")),
    Bad("chunk data longer than its size", _chunked(b"5\r\nhello!\r\n0\r\n\r\n")),
    Bad("chunk data without its CRLF", _chunked(b"5\r\nhello0\r\n\r\n")),
    Bad("chunk data followed by LF", _chunked(b"5\r\nhello\n0\r\n\r\n")),
    Bad("chunk data followed by CR", _chunked(b"5\r\nhello\r0\r\n\r\n")),
    Bad("chunk data followed by two other bytes", _chunked(b"5\r\nhelloXX0\r\n\r\n")),
    Bad("last chunk followed by LF", _chunked(b"5\r\nhello\r\n0\n\r\n")),
    Bad("last chunk, then LF", _chunked(b"5\r\nhello\r\n0\r\n\n")),
    Bad("chunk extensions without an end", _chunked(b"5;a=" + b"b" * 40_000 + b"\r\nhello\r\n0\r\n\r\n"), (400, 413, 431)),
    Bad("extensions on each of many chunks", _chunked(b"1;aaaaaaaaaaaaaa\r\na\r\n" * 8000 + b"0\r\n\r\n"), (400, 413, 431)),
    *(
        Bad(f"trailer {line[:40]!r}", _chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
        for line in (
            b"X : a", b" X: a", b"X", b": a", b"X: a\rb", b"X: a\x00", b"X: a\x01b", b"X: a\nY: b", b"X: a\r\n b", b"X Y: a",
            b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: b", b"content-length: 0",
        )
    ),
    Bad("trailers without an end", _chunked(b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 20_000 + b"\r\n"), (400, 431)),
    Bad("a trailer without an end", _chunked(b"5\r\nhello\r\n0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), (400, 431)),
]  # fmt: skip

SERVED = [
    ("plain", _get()),
    ("an empty line in front", b"\r\n" + _get()),
    ("HTTP/1.0 without Host", _get(first=b"GET / HTTP/1.0", host=b"")),
    ("a method of one's own", _get(first=b"BREW / HTTP/1.1")),
    ("a WebDAV method", _get(first=b"PROPFIND / HTTP/1.1")),
    ("a path above the root", _get(first=b"GET /../../ok HTTP/1.1")),
    ("raw UTF-8 in the path", _get(first=b"GET /caf\xc3\xa9 HTTP/1.1")),
    ("OPTIONS *", _get(first=b"OPTIONS * HTTP/1.1")),
    ("absolute form", _get(first=b"GET http://a/ok HTTP/1.1")),
    ("absolute form, other case", _get(first=b"GET HTTP://A/ok HTTP/1.1")),
    ("absolute form without a path", _get(first=b"GET http://a HTTP/1.1")),
    ("Host with a port", _get(host=b"Host: a:8080")),
    ("Host of IPv6", _get(host=b"Host: [::1]:8080")),
    ("no white space behind the colon", _get(b"X:a")),
    ("much white space round a value", _get(b"X: \t a \t ")),
    ("an empty value", _get(b"X:")),
    ("a tab inside a value", _get(b"X: a\tb")),
    ("latin-1 in a value", _get(b"X: caf\xe9")),
    ("all characters of a token", _get(b"!#$%&'*+-.^_`|~09azAZ: a")),
    ("100 headers", _get(*(b"X%d: a" % n for n in range(99)))),
    ("59 KiB of headers", _get(*(b"X%d: " % n + b"a" * 1000 for n in range(59)))),
    ("a URL of 8,000 bytes", _get(first=b"GET /" + b"a" * 7999 + b" HTTP/1.1")),
    ("Content-Length 0", _post(b"Content-Length: 0")),
    ("Content-Length with zeros in front", _post(b"Content-Length: 005", body=b"hello")),
    ("a GET with a body", _get(b"Content-Length: 5") + b"hello"),
    ("chunked", _chunked(CHUNKS)),
    ("Chunked in capitals", _post(b"Transfer-Encoding: CHUNKED", body=CHUNKS)),
    ("chunk size in capitals, zeros in front", _chunked(b"0000A\r\n0123456789\r\n000\r\n\r\n")),
    ("chunk extensions", _chunked(b'5;a;b=c;d="e;f\\"g"\r\nhello\r\n0;z=y\r\n\r\n')),
    ("trailers", _chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")),
    ("a chunk that looks like the end", _chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n")),
]  # fmt: skip
