"""Heads to read, for hypothesis: right ones, nearly right ones, and rubbish that looks like one."""

from __future__ import annotations

from hypothesis import strategies as st

_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

METHODS = st.sampled_from(
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"BREW", b"get"]
)
TARGETS = st.one_of(
    st.sampled_from(
        [
            b"/",
            b"*",
            b"/a",
            b"/a/../b?c=d",
            b"//a//",
            b"/%2e%2E/x",
            b"/a%2Fb",
            b"http://a/b",
            b"http://a",
            b"/a?b?c",
            b"/?",
        ]
    ),
    st.text("abc/.%25?=&;:@-_~", max_size=12).map(lambda text: b"/" + text.encode()),
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"])
NAMES = st.text(_TOKEN, min_size=1, max_size=8).map(str.encode)
VALUES = st.one_of(
    st.sampled_from([b"", b"a", b"text/html; q=0.5", b"a, b", b"caf\xe9", b'"quoted \\" text"', b"a\tb"]),
    st.text('abcXYZ 019,;=/"\t', max_size=12).map(lambda text: text.strip().encode()),
)
_SPACES = st.sampled_from([b" ", b" ", b" ", b"", b"\t", b"  \t "])


def field_lines(names: st.SearchStrategy[bytes] = NAMES) -> st.SearchStrategy[bytes]:
    """Header lines that are right, with any white space that is allowed."""
    parts = st.tuples(names, _SPACES, VALUES, st.sampled_from([b"", b"", b"", b" ", b"\t"]))
    return parts.map(lambda part: b"%b:%b%b%b" % part)


# Lines that mean something to a proxy, right and wrong ones.
SPECIAL_LINES = st.sampled_from(
    [
        b"Host: a", b"Host: a", b"Host: a:80", b"host: [::1]:8080", b"Host: b", b"Host:", b"Host: a b",
        b"Content-Length: 0", b"Content-Length: 5", b"content-length: 5", b"Content-Length: +5", b"Content-Length: 5, 5",
        b"Content-Length: 05", b"Content-Length:", b"Content-Length : 5", b"Content_Length: 5",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: identity", b"Transfer-Encoding:chunked\t",
        b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:", b" Transfer-Encoding: chunked",
        b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade", b"Connection: x-one, close", b"Connection: host",
        b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: the-unexpected", b"TE: trailers",
        b"Trailer: x", b"X-Forwarded-For: 1.2.3.4", b"X-Request-Id: r1", b"X-One: 1", b"Via: 1.0 old", b"Keep-Alive: timeout=5",
        b"X: a\r", b"X: a\nY: b", b"X: a\x00b", b" folded", b"\tfolded", b"no colon", b": no name", b"a b: c", b"X\x80: a",
    ]
)  # fmt: skip

FIELD_LINES = st.lists(st.one_of(field_lines(), SPECIAL_LINES), max_size=6)


@st.composite
def request_heads(draw: st.DrawFn) -> bytes:
    """A request head with its empty line: mostly right, with a Host nearly always."""
    first = b" ".join([draw(METHODS), draw(TARGETS), draw(VERSIONS)])
    lines = draw(FIELD_LINES)
    if draw(st.integers(0, 9)):
        lines.insert(draw(st.integers(0, len(lines))), b"Host: a")
    return b"\r\n".join([first, *lines, b"", b""])


@st.composite
def response_heads(draw: st.DrawFn) -> bytes:
    """A response head with its empty line."""
    status = draw(
        st.sampled_from([b"200", b"200", b"204", b"304", b"404", b"500", b"100", b"103", b"101", b"599", b"999"])
    )
    reason = draw(st.sampled_from([b" OK", b" Not Found", b" ", b"", b" caf\xe9"]))
    first = draw(VERSIONS) + b" " + status + reason
    return b"\r\n".join([first, *draw(FIELD_LINES), b"", b""])


# What attackers put where it should not be.
_SLIPPED = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\n", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xa0",
     b":", b",", b";", b"0", b"5", b"#", b"%", b"%00", b"?", b"/", b"\\", b"HTTP/1.1", b"Content-Length: 5\r\n", b"a"]
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, heads: st.SearchStrategy[bytes]) -> bytes:
    """One of `heads` with a few things put in, taken out or put in the place of others."""
    data = draw(heads)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        taken = draw(st.integers(0, 2))
        data = data[:at] + draw(st.one_of(_SLIPPED, st.just(b""))) + data[at + taken :]
    return data
