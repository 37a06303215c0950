"""Replies in any cuts, framed as hiredis frames them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, same_in_any_cut
from twisted_mesh.codec import resp
from twisted_mesh.codec.resp_kinds import ERROR, PUSH
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer

TEXT = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=12).map(str.encode)
LEAVES = st.one_of(
    st.binary(max_size=40).map(resp.bulk),
    TEXT.map(resp.simple),
    TEXT.map(lambda text: b"-ERR " + text + b"\r\n"),
    st.integers(-(2**63), 2**63 - 1).map(resp.integer),
    st.sampled_from([resp.NULL, resp.NULL_ARRAY, resp.NULL_3, b"#t\r\n", b"#f\r\n", b"*0\r\n", b"%0\r\n", b"~0\r\n"]),
    st.sampled_from([b",1.5\r\n", b",inf\r\n", b",-inf\r\n", b",1e-7\r\n"]),
    st.integers().map(lambda number: b"(%d\r\n" % number),
    st.binary(max_size=20).map(lambda value: b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value)),
    TEXT.map(lambda text: b"!%d\r\n%b\r\n" % (len(text), text)),
)


def nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.lists(inner, max_size=5).map(resp.array),
        st.lists(inner, max_size=5).map(lambda each: b"~%d\r\n" % len(each) + b"".join(each)),
        st.lists(st.tuples(TEXT.map(resp.bulk), inner), max_size=3).map(lambda pairs: resp.mapping(pairs, 3)),
    )


REPLIES = st.recursive(LEAVES, nested, max_leaves=12)
STREAMS = st.lists(
    st.one_of(
        REPLIES,
        st.lists(REPLIES, min_size=1, max_size=3).map(lambda each: resp.push(each, 3)),
        # What looks alike is read in one go: strings of one size, and what a write is told.
        st.sampled_from([resp.OK, resp.bulk(b"$1"), resp.bulk(b"\r\n"), resp.bulk(b"")]),
    ),
    max_size=6,
).map(lambda replies: [each for number, each in enumerate(replies) for _ in range(1 + 5 * (number % 2))])


class Framed(NamedTuple):
    """What a reader made of its bytes."""

    replies: list[bytes]
    error: Optional[str]


def read(pieces: Sequence[bytes]) -> Framed:
    reader = ReplyReader()
    replies = []
    for piece in pieces:
        for kind, start, end in reader.feed(piece):
            replies.append(reader.data[start:end])
            assert replies[-1][0] == kind or replies[-1][:1] == b"|"
    return Framed(replies, reader.error and reader.error.text)


@given(STREAMS, PLACES)
def test_every_reply_is_found_in_any_cut(replies: list[bytes], places: list[int]) -> None:
    assert same_in_any_cut(b"".join(replies), places, read) == Framed(replies, None)


@given(STREAMS, st.integers(0, 200), st.binary(min_size=1, max_size=2), PLACES)
def test_hiredis_frames_the_same(replies: list[bytes], place: int, other: bytes, places: list[int]) -> None:
    """Also what is spoilt: as many replies as hiredis finds before it refuses; more only where the bytes of a scalar are
    at fault, which is none of our business."""
    whole = b"".join(replies)
    data = whole[:place] + other + whole[place + len(other) :]
    ours = same_in_any_cut(data, places, read)
    assert data.startswith(b"".join(ours.replies))
    theirs, refused = hiredis_count(data)
    if ours.error is None:
        assert len(ours.replies) >= theirs
        assert len(ours.replies) == theirs or refused
    elif not refused:
        # hiredis lets more through: line breaks inside of lines, leading zeros, strings without an end.
        assert len(ours.replies) <= theirs or b"line break" in ours.error.encode()


def hiredis_count(data: bytes) -> tuple[int, bool]:
    """How many replies hiredis finds, and whether it refused what is behind them."""
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    reader.feed(data)
    count = 0
    try:
        while reader.gets() is not Ellipsis:
            count += 1
    except (hiredis.ProtocolError, TypeError, ValueError):
        # A map whose key cannot be hashed is refused by the Python side of it.
        return count, True
    return count, False


@given(st.binary(max_size=60), PLACES)
def test_any_bytes(data: bytes, places: list[int]) -> None:
    same_in_any_cut(data, places, read)


def test_an_attribute_belongs_to_the_reply_behind_it() -> None:
    data = b"|1\r\n+ttl\r\n:3\r\n$1\r\na\r\n"
    assert read([data + b"+OK\r\n"]) == Framed([data, b"+OK\r\n"], None)
    inside = b"*2\r\n|1\r\n+a\r\n:1\r\n:2\r\n|0\r\n:3\r\n"
    assert read([inside + b"+OK\r\n"]) == Framed([inside, b"+OK\r\n"], None)
    reader = ReplyReader()
    assert reader.feed(b"|1\r\n+a\r\n:1\r\n-ERR x\r\n")[0][0] == ERROR


def test_a_push_is_seen_to_be_one() -> None:
    reader = ReplyReader()
    assert [kind for kind, _, _ in reader.feed(b"+OK\r\n>1\r\n+a\r\n:1\r\n")] == [43, PUSH, 58]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"@foo\r\n", "got b'@' as the type of a reply"),
        (b"HTTP/1.1 400 Bad Request\r\n", "got b'H' as the type of a reply"),
        (b"\r\n", "got b'\\r' as the type of a reply"),
        (b"*-2\r\n+a\r\n", "not the length of an aggregate: b'-2'"),
        (b"*2147483648\r\n", "not the length of an aggregate: b'2147483648'"),
        (b"%-1\r\n", "not the length of an aggregate: b'-1'"),
        (b"*?\r\n", "not the length of an aggregate: b'?'"),
        (b"$-2\r\n", "not the length of a string: b'-2'"),
        (b"$?\r\n", "not the length of a string: b'?'"),
        (b"$536870913\r\n", "not the length of a string: b'536870913'"),
        (b"$1\r\nabc", "invalid CRLF in request"),
        (b"+a\rb\r\n", "a line break inside of a line"),
        (b"+a\n", "a line break inside of a line"),
        (b"*1\r\n>1\r\n+a\r\n", "a push message inside of an aggregate"),
        (b"*1\r\n" * 16385 + b"+a\r\n", "aggregates nested deeper than 16384"),
        (b"+" + b"a" * 70_000, "a line of more than 65536 bytes"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_refused(data: bytes, text: str) -> None:
    """Behind the replies before it, and nothing is read any more."""
    assert read([b"+OK\r\n" + data]) == Framed([b"+OK\r\n"], text)
    assert read([data[at : at + 1] for at in range(min(len(data), 600))] + [data[600:]]).error == text
    reader = ReplyReader()
    reader.feed(data)
    assert reader.feed(b"+OK\r\n") == []


def test_depth() -> None:
    assert read([b"*1\r\n" * 16384 + b"+a\r\n"]) == Framed([b"*1\r\n" * 16384 + b"+a\r\n"], None)


def test_hiredis_own_cases() -> None:
    """The cases of hiredis' own tests, by what each of them expects of the framing."""
    cases = json.loads((Path(__file__).parents[1] / "corpora/resp-reader/hiredis_reader_cases.json").read_text("utf-8"))
    assert len(cases) > 30
    refused, kept = 0, 0
    for case in cases:
        feeds = [base64.b64decode(each) for each in case["feeds_b64"]]
        # What depends on a setting of hiredis is left out.
        if case["repeat_first"] is not None or not feeds or "maximum" in case["name"]:
            continue
        framed = read(feeds)
        if "REDIS_ERR" not in case["expect"]:
            kept += 1
            assert framed.error is None, case["name"]
        elif framed.error is not None:
            refused += 1
        else:
            # The value of a scalar is not looked at.
            assert feeds[0][:1] in b":,#_(=%~>", case["name"]
    assert refused >= 5 and kept >= 8


# --- what is large


def test_a_large_reply_is_let_through_piece_by_piece() -> None:
    large = resp.array([resp.bulk(bytes(range(256)) * 2048), resp.integer(1)])
    data = resp.OK + large + b"-ERR a\r\n" + b":7\r\n"
    reader = ReplyReader()
    found, through = [], b""
    for at in range(0, len(data), 65_536):
        found += [reader.data[start:end] for _, start, end in reader.feed(data[at : at + 65_536])]
        through += reader.through
        if reader.unfinished is not None and reader.unfinished.kept:
            through += reader.release()
    assert through == large
    assert found == [resp.OK, b"-ERR a\r\n", b":7\r\n"]
    assert reader.unfinished is None


def test_a_large_reply_that_is_kept_is_bounded() -> None:
    for pieces in ([b"$2000\r\n" + b"a" * 1200], [b"$2000\r\n", b"a" * 600, b"a" * 600]):
        reader = ReplyReader(limit=1000)
        for piece in pieces:
            reader.feed(piece)
        assert reader.error is not None and "more than 1000 bytes" in reader.error.text


def test_what_comes_in_many_pieces_is_read_once() -> None:
    for reply in (resp.array([resp.bulk(b"0123456789")] * 20_000), resp.bulk(b"v" * 400_000)):
        assert read([reply[at : at + 160] for at in range(0, len(reply), 160)]) == Framed([reply], None)


def test_reprs() -> None:
    reader = ReplyReader()
    assert repr(reader) == "<ReplyReader 'between replies'>"
    reader.feed(b"*3\r\n:1\r\n")
    assert repr(reader) == "<ReplyReader <UnfinishedReply * 8 bytes, [1, 2] to come>>"
    assert reader.unfinished is not None and not reader.unfinished.outermost
    values: list[Any] = reader.feed(b":2\r\n:3\r\n")
    assert len(values) == 1


@given(st.lists(st.sampled_from([resp.OK, resp.bulk(b"x" * 20_000), resp.bulk(b"y" * 40_000)]), max_size=6), PLACES)
def test_what_comes_behind_a_large_reply_may_be_found_by_itself(replies: list[bytes], places: list[int]) -> None:
    data = b"".join(replies)
    cuts = sorted(place % (len(data) + 1) for place in places)
    reader, heard = ReplyReader(apart=True), []
    for start, end in zip([0, *cuts], [*cuts, len(data)]):
        found: Optional[list[Answer]] = reader.feed(data[start:end])
        while found is not None:
            heard += [reader.data[at:stop] for _, at, stop in found]
            found = reader.more()
    assert heard == replies
    assert reader.unfinished is None
