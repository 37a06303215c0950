"""Header lines: parsed twice, judged once, remembered."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.codec.heads import SPECIAL_LINES, field_lines, spoilt
from tests.codec.peer import hear_requests
from twisted_mesh.codec import lines as sorts
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.lines import LineTable, connection_options, parse_field, without_nominated


def test_a_line_becomes_a_field() -> None:
    """Name in lower case, value without white space, the line as it will be sent, what it means."""
    assert parse_field(b"X-Some:  a b \t") == (b"x-some", b"a b", b"X-Some: a b", 0)
    assert parse_field(b"x:") == (b"x", b"", b"x: ", 0)


@pytest.mark.parametrize(
    ("line", "sort"),
    [
        (b"Host: a", sorts.HOST),
        (b"Content-Length: 5", sorts.LENGTH),
        (b"Transfer-Encoding: Chunked", sorts.CODING),
        (b"Upgrade: websocket", sorts.UPGRADE),
        (b"Expect: 100-continue", sorts.EXPECT),
        (b"Via: 1.1 a", sorts.FORWARDED),
        (b"X-Forwarded-For: a", sorts.FORWARDED),
        (b"X-Request-ID: a", sorts.REQUEST_ID),
        (b"Keep-Alive: timeout=5", sorts.HOP),
        (b"Proxy-Authorization: Basic eA==", sorts.HOP | sorts.SECRET),
        (b"HTTP2-Settings: a", sorts.HOP),
        (b"TE: trailers", sorts.TE),
        (b"Connection:", sorts.CONNECTION),
        (b"Connection: close", sorts.CONNECTION | sorts.CLOSE),
        (b"Connection: Keep-Alive", sorts.CONNECTION | sorts.KEEP),
        (b"Connection: keep-alive, Upgrade", sorts.CONNECTION | sorts.KEEP | sorts.UPGRADES),
        (b"Connection: x-one , ,close", sorts.CONNECTION | sorts.CLOSE | sorts.NOMINATES),
        (b"Connection: te, keep-alive, host", sorts.CONNECTION | sorts.KEEP),
    ],
)
def test_what_a_line_means(line: bytes, sort: int) -> None:
    assert parse_field(line)[3] == sort


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b" folded", "obs-fold"),
        (b"\tfolded: a", "obs-fold"),
        (b"none", "without a colon"),
        (b"", "without a colon"),
        (b"a : b", "before the colon"),
        (b"a\t: b", "before the colon"),
        (b"a b: c", "not allowed"),
        (b": a", "not allowed"),
        (b"a: b\x00", "not allowed"),
        (b"a: b\rc", "not allowed"),
        (b"a: b\n", "not allowed"),
        (b"a: b\r\n", "not allowed"),
        (b"Content-Length: five", "one number"),
        (b"Content-Length: 5, 5", "one number"),
        (b"Transfer-Encoding: gzip, chunked", "other than chunked"),
        (b"Transfer-Encoding: chunked;q=1", "other than chunked"),
        (b"Content_Length: 5", "taken for another"),
        (b"transfer_encoding: chunked", "taken for another"),
    ],
)
def test_what_is_refused(line: bytes, complaint: str) -> None:
    """A refusal is a 400 that says what is wrong."""
    with pytest.raises(HttpError) as caught:
        parse_field(line)
    assert caught.value.status == 400
    assert complaint in caught.value.text or "refused" in caught.value.text


@given(st.one_of(field_lines(), SPECIAL_LINES, spoilt(st.one_of(field_lines(), SPECIAL_LINES))))
@example(b"Upgrade: websocket")
@example(b"Connection: upgrade")
def test_llhttp_reads_the_same(line: bytes) -> None:
    """What we accept, llhttp reads as the same one field, as it came and as it will be sent."""
    try:
        name, value, sent, _ = parse_field(line)
    except HttpError:
        return
    for each in (line, sent):
        heard = hear_requests(b"POST / HTTP/1.1\r\n" + each + b"\r\n\r\n")
        assert heard.first.fields == [(name, value)]
    assert parse_field(sent)[:2] == (name, value)


def test_a_table_remembers_what_it_learnt() -> None:
    """The same line gives the same field, which is how the hot path compares them."""
    table = LineTable()
    field = table.learn(b"X: a")
    assert table.known[b"X: a"] is field
    assert table.learn(b"Y: b") is table.known[b"Y: b"]


@pytest.mark.parametrize("line", [b"Cookie: a=b", b"authorization: Basic eA==", b"Set-Cookie: a", b"X: " + b"a" * 600])
def test_a_table_forgets_what_is_secret_or_long(line: bytes) -> None:
    table = LineTable()
    assert table.learn(line)[2].lower() == line.lower()
    assert table.known == {}


def test_a_refused_line_is_not_remembered() -> None:
    table = LineTable()
    with pytest.raises(HttpError):
        table.learn(b"X : a")
    assert table.known == {}


def test_a_table_is_bounded_and_keeps_the_lines_in_use() -> None:
    """However many lines come, at most two generations stay, and a line that is used moves along with them."""
    table = LineTable()
    used = table.learn(b"used: 1")
    for number in range(9000):
        if b"used: 1" not in table.known:
            assert table.learn(b"used: 1") is used
        table.learn(b"x: %d" % number)
        assert len(table.known) <= 2048
    assert len(table._older) <= 2048
    assert b"x: 1" not in table.known and b"x: 1" not in table._older


def test_connection_options() -> None:
    assert connection_options(b" Close ,\tX-One,, keep-alive") == [b"close", b"x-one", b"keep-alive"]
    assert connection_options(b"") == []


def test_nominated_fields_go_and_those_that_others_rely_on_stay() -> None:
    """RFC 9110 section 7.6.1, less what a client could strip to look like somebody else."""
    texts = [b"X-One: 1", b"x-two: 2", b"Cookie: c", b"Authorization: a", b"X-Forwarded-For: f", b"X-Request-Id: r"]
    fields = [parse_field(each) for each in texts]
    named = [b"x-one, cookie, authorization", b"X-Forwarded-For, x-request-id"]
    assert [each[0] for each in without_nominated(fields, named)] == [
        b"x-two", b"cookie", b"authorization", b"x-forwarded-for", b"x-request-id",
    ]  # fmt: skip
