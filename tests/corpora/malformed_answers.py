"""Answers of an upstream that may not be passed on.

`REFUSED`: the head is malformed or ambiguous, so the client gets a 502 and not a byte of it.  `CUT`: the head was right
and the body is not, so what the client gets must look cut.  `SERVED`: odd, and right.
"""

# One case on one line, however long: these are tables.

from __future__ import annotations

from typing import NamedTuple


class BadAnswer(NamedTuple):
    """What an upstream says to a GET before it closes the connection."""

    name: str
    data: bytes


def _answer(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""]) + body


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 5"

REFUSED = [
    BadAnswer("nothing", b""),
    BadAnswer("no head", b"hello world\r\n\r\n"),
    BadAnswer("half a status line", b"HTTP/1.1 20"),
    BadAnswer("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    BadAnswer("HTTP/0.9", b"<html>hello</html>"),
    *(
        BadAnswer(f"status line {line!r}", _answer(LENGTH, first=line, body=b"hello"))
        for line in (
            b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK",
            b"HTTP/1.1 -20 OK", b"HTTP/1.1 0x1 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200OK",
            b" HTTP/1.1 200 OK", b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK", b"HTTP/11.1 200 OK",
            b"http/1.1 200 OK", b"ICY 200 OK", b"RTSP/1.0 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\x01K",
            b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK",
        )
    ),
    BadAnswer("Content-Length and Transfer-Encoding", _answer(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKS)),
    BadAnswer("differing Content-Length", _answer(LENGTH, b"Content-Length: 6", body=b"hello!")),
    BadAnswer("repeated Content-Length", _answer(LENGTH, LENGTH, body=b"hello")),
    *(
        BadAnswer(f"Content-Length {value!r}", _answer(b"Content-Length: " + value, body=b"hello"))
        for value in (b"", b"+5", b"-5", b"5 5", b"5, 5", b"0x5", b"five", b"5\x0b", b"9" * 40, b"5.0")
    ),
    *(
        BadAnswer(f"Transfer-Encoding {value!r}", _answer(b"Transfer-Encoding: " + value, body=CHUNKS))
        for value in (b"", b"gzip", b"identity", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"chunked\x0b")
    ),
    BadAnswer("Transfer-Encoding twice", _answer(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS)),
    BadAnswer("Transfer-Encoding in HTTP/1.0",
              _answer(b"Transfer-Encoding: chunked", first=b"HTTP/1.0 200 OK", body=CHUNKS)),
    BadAnswer("space before the colon", _answer(LENGTH, b"X : a", body=b"hello")),
    BadAnswer("space before the colon of a length", _answer(b"Content-Length : 5", body=b"hello")),
    BadAnswer("space before a name", _answer(b" Content-Length: 5", body=b"hello")),
    BadAnswer("obs-fold", _answer(LENGTH, b"X: a", b" b", body=b"hello")),
    BadAnswer("no colon", _answer(LENGTH, b"X", body=b"hello")),
    BadAnswer("no name", _answer(LENGTH, b": a", body=b"hello")),
    BadAnswer("a name that is no token", _answer(LENGTH, b"X(Y): a", body=b"hello")),
    BadAnswer("NUL in a value", _answer(LENGTH, b"X: a\x00b", body=b"hello")),
    BadAnswer("control character in a value", _answer(LENGTH, b"X: a\x01b", body=b"hello")),
    BadAnswer("bare CR", _answer(LENGTH, b"X: a\rSet-Cookie: b", body=b"hello")),
    BadAnswer("bare LF", _answer(LENGTH, b"X: a\nSet-Cookie: b", body=b"hello")),
    BadAnswer("bare LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    BadAnswer("a header of 70 KiB", _answer(LENGTH, b"X: " + b"a" * 70 * 1024, body=b"hello")),
    BadAnswer("1,000 headers", _answer(LENGTH, *(b"X%d: a" % n for n in range(1000)), body=b"hello")),
    BadAnswer("an upgrade nobody asked for",
              _answer(b"Connection: upgrade", b"Upgrade: websocket", first=b"HTTP/1.1 101 Switching Protocols")),
    BadAnswer("endless interim answers", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20_000),
    BadAnswer("an interim answer, then nothing", b"HTTP/1.1 100 Continue\r\n\r\n"),
]  # fmt: skip

CUT = [
    BadAnswer("half of the length", _answer(b"Content-Length: 10", body=b"hello")),
    BadAnswer("nothing of the length", _answer(b"Content-Length: 10")),
    BadAnswer("no last chunk", _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")),
    BadAnswer("half a chunk", _answer(b"Transfer-Encoding: chunked", body=b"a\r\nhello")),
    BadAnswer("no end of the trailers", _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: a\r\n")),
    *(
        BadAnswer(f"chunk size {size!r}", _answer(b"Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n"))
        for size in (b"", b"5 ", b"0x5", b"-5", b"g", b"f" * 17, b"5;", b"5;a\x00")
    ),
    BadAnswer("chunk data without its CRLF", _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX0\r\n\r\n")),
    BadAnswer("chunk size ends in LF", _answer(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n0\r\n\r\n")),
    BadAnswer("a length as trailer", _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n")),
]  # fmt: skip

SERVED = [
    BadAnswer("plain", _answer(LENGTH, body=b"hello")),
    BadAnswer("no reason", _answer(LENGTH, first=b"HTTP/1.1 200 ", body=b"hello")),
    BadAnswer("no reason and no space", _answer(LENGTH, first=b"HTTP/1.1 200", body=b"hello")),
    BadAnswer("HTTP/1.0 until close", _answer(first=b"HTTP/1.0 200 OK", body=b"hello")),
    BadAnswer("HTTP/1.1 until close", _answer(b"Connection: close", body=b"hello")),
    BadAnswer("until close without saying so", _answer(body=b"hello")),
    BadAnswer("chunked", _answer(b"Transfer-Encoding: chunked", body=CHUNKS)),
    BadAnswer(
        "chunked with trailers", _answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
    ),
    BadAnswer("early hints first", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _answer(LENGTH, body=b"hello")),
    BadAnswer("more bytes behind the body", _answer(LENGTH, body=b"helloHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")),
]
