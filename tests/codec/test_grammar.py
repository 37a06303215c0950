"""What text may look like, and how a refusal is put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.grammar import (
    CONTENT_LENGTH,
    FIELD_LINE,
    HOST,
    NOT_TEXT,
    REQUEST_LINE,
    STATUS_LINE,
    HttpError,
    shown,
)

TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("code", range(256))
def test_every_character_of_a_name(code: int) -> None:
    """A name holds the token characters of RFC 9110 section 5.6.2 and no others."""
    match = FIELD_LINE.fullmatch(b"x%cy: a" % code)
    assert (match is not None and match[1] == b"x%cy" % code) == (code in TCHAR)


@pytest.mark.parametrize("code", range(256))
def test_every_character_of_a_value(code: int) -> None:
    """A value holds visible characters, space, tab and obs-text (RFC 9110 section 5.5)."""
    match = FIELD_LINE.fullmatch(b"x: a%cb" % code)
    assert (match is not None) == (code == 9 or 32 <= code <= 126 or code >= 128)


def test_white_space_round_a_value_is_no_part_of_it() -> None:
    match = FIELD_LINE.fullmatch(b"x:\t a b \t")
    assert match is not None and match[2] == b"a b"
    empty = FIELD_LINE.fullmatch(b"x: \t ")
    assert empty is not None and not empty[2]


def test_a_long_value_is_matched_in_a_time_that_grows_with_it() -> None:
    """No way of mixing spaces and a wrong character at the end makes the expression try all ways to split them."""
    for text in (b" " * 50_000, b"a " * 25_000, b"a" + b" " * 50_000, b"a\t" * 25_000):
        for _ in range(20):
            assert FIELD_LINE.fullmatch(b"x: " + text + b"\x01") is None
            assert FIELD_LINE.fullmatch(b"x: " + text) is not None


@given(st.binary(max_size=40))
def test_what_is_no_text_is_found(data: bytes) -> None:
    """`NOT_TEXT` finds a bare CR, a bare LF or a control character wherever there is one."""
    left = data.replace(b"\r\n", b"")
    # A CR at the very end may still become a CRLF.
    wrong = any(each < 32 and each != 9 and each != 13 or each == 127 for each in left) or b"\r" in left[:-1]
    if not wrong and left.endswith(b"\r"):
        wrong = not data.endswith(b"\r")
    assert (NOT_TEXT.search(data) is not None) == wrong


@pytest.mark.parametrize(
    ("host", "right"),
    [
        (b"a", True), (b"a.example:80", True), (b"127.0.0.1:8080", True), (b"[::1]", True), (b"[::ffff:1.2.3.4]:1", True),
        (b"a_b", True), (b"%41", True), (b"a.", True), (b"", False), (b":80", False), (b"a:", False), (b"a:b", False),
        (b"a:123456", False), (b"u@a", False), (b"a/b", False), (b"[::1", False), (b"[::g]", False), (b"[]", False),
        (b"%4", False), (b"a b", False), (b"\xe9", False), (b"a\x00", False), (b"a:80:80", False), (b"[::1]x", False),
    ],
)  # fmt: skip
def test_hosts(host: bytes, right: bool) -> None:
    assert (HOST.fullmatch(host) is not None) is right


@pytest.mark.parametrize("text", [b"0", b"7", b"007", b"999999999999999999"])
def test_a_length_is_digits(text: bytes) -> None:
    assert CONTENT_LENGTH.fullmatch(text)


@pytest.mark.parametrize("text", [b"", b"-1", b"+1", b"1 ", b"0x1", b"1,1", "١".encode(), b"1" * 19, b"1\n"])
def test_a_length_is_nothing_else(text: bytes) -> None:
    assert CONTENT_LENGTH.fullmatch(text) is None


def test_lines_of_requests_and_replies() -> None:
    assert REQUEST_LINE.fullmatch(b"GET /a?b HTTP/1.1")
    assert REQUEST_LINE.fullmatch(b"GET /a b HTTP/1.1") is None
    assert REQUEST_LINE.fullmatch(b"GET  /a HTTP/1.1") is None
    status = STATUS_LINE.fullmatch(b"HTTP/1.1 404 Not Found")
    assert status is not None and status.groups() == (b"1", b"404", b"Not Found")
    assert STATUS_LINE.fullmatch(b"HTTP/1.1 404")
    assert STATUS_LINE.fullmatch(b"HTTP/1.1 099 Odd") is None
    assert STATUS_LINE.fullmatch(b"HTTP/2.0 200 OK") is None


def test_an_error_says_its_status_and_its_text() -> None:
    error = HttpError(431, "too much")
    assert (error.status, error.text, str(error)) == (431, "too much", "too much")


@given(st.binary(max_size=200))
def test_what_is_shown_is_short_and_printable(data: bytes) -> None:
    text = shown(data)
    assert text.isascii() and text.isprintable()
    assert len(text) <= 60 * 4 + 5
    assert shown(b"a\r\nb" + bytes(80), 10) == '"a\\x0d\\x0ab' + "\\x00" * 6 + '..."'
