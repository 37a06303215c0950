"""The chunked coding: read in any cuts, strictly, and never in another way than llhttp reads it."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, one_by_one, same_in_any_cut
from tests.codec.heads import NAMES, VALUES, spoilt
from tests.codec.peer import hear_requests
from twisted_mesh.codec.chunked import ChunkDecoder, encode_chunk, encode_end
from twisted_mesh.codec.grammar import HttpError

Pairs = list[tuple[bytes, bytes]]
FRAMING_NAMES = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"content_length",
    b"transfer_encoding",
    b"te",
    b"via",
    b"expect",
    b"upgrade",
}


class Decoded(NamedTuple):
    """What a decoder made of its bytes; `body` is None where it refused them."""

    body: Optional[bytes]
    trailers: Pairs
    done: bool
    rest: bytes


REFUSED = Decoded(None, [], False, b"")


def decode(pieces: Sequence[bytes]) -> Decoded:
    decoder = ChunkDecoder()
    body, rest = b"", b""
    for piece in pieces:
        if decoder.done:
            rest += piece
            continue
        try:
            body += b"".join(decoder.feed(piece))
        except HttpError as error:
            assert error.status == 400
            return REFUSED
        if decoder.done:
            rest = decoder.rest
    return Decoded(body, decoder.trailers, decoder.done, rest)


# --- an encoder of our own, that uses all the freedom that there is

EXTENSIONS = st.sampled_from([b"", b"", b";a", b" ; a=b", b';a="b;\\"c"', b";a=b;c", b"\t;\ta\t=\tb"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes, Pairs]:
    """(coded, body, trailers)."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=6))
    coded = b""
    for piece in pieces:
        size = b"%x" % len(piece)
        size = draw(st.sampled_from([size, size.upper(), b"0" + size, b"000000" + size]))
        coded += size + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n"
    trailers = draw(
        st.lists(st.tuples(NAMES.filter(lambda name: name.lower() not in FRAMING_NAMES), VALUES), max_size=3)
    )
    coded += draw(st.sampled_from([b"0", b"000"])) + draw(EXTENSIONS) + b"\r\n"
    coded += b"".join(b"%b: %b\r\n" % pair for pair in trailers) + b"\r\n"
    return coded, b"".join(pieces), trailers


@given(bodies(), PLACES, st.sampled_from([b"", b"\r\n", b"GET / HTTP/1.1\r\n"]))
def test_what_was_coded_is_decoded_in_any_cut(
    coded: tuple[bytes, bytes, Pairs], places: list[int], behind: bytes
) -> None:
    """The body, the trailers, and exactly what stands behind them."""
    data, body, trailers = coded
    assert same_in_any_cut(data + behind, places, decode) == Decoded(body, trailers, True, behind)


@given(spoilt(bodies().map(lambda coded: coded[0])), PLACES)
@example(b"5\r\nhello\r\n0\r\n\r\n", [])
def test_llhttp_agrees_about_every_body(data: bytes, places: list[int]) -> None:
    """What we accept, llhttp reads as the same body and trailers; what it refuses, we refuse; in any cut the same."""
    ours = same_in_any_cut(data, places, decode)
    heard = hear_requests(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    first = heard.first
    if ours.done and not first.complete:
        # The one thing that llhttp refuses and we do not: RFC 9112 section 7.1.1 has white space round the parts of an
        # extension taken for nothing.  None of it is sent on.
        assert "chunk" in heard.error and re.search(rb"[ \t]*;[ \t]+|[ \t]+[;=]|=[ \t]", data), heard.error
    elif ours.done:
        assert (first.body, first.trailers) == (ours.body, [(name.lower(), value) for name, value in ours.trailers])
    elif ours.body is not None:
        # Not at its end, and nothing wrong so far: llhttp has not come further, and found nothing that we missed.
        assert not first.complete
        assert first.body.startswith(ours.body) or ours.body.startswith(first.body)


# --- the strictness that no generator finds by itself


@pytest.mark.parametrize(
    "data",
    [
        b"\n", b"\r\n", b"g\r\n", b" 5\r\n", b"5 \r\n", b"+5\r\n", b"-5\r\n", b"0x5\r\n", b"5_0\r\n", b"5\n", b"5\r\r\n",
        b"5;\r\n", b"5;=\r\n", b"5;a=\r\n", b'5;a="\r\n', b"5;a=b c\r\n", b"5;a\x00\r\n", b"5;a\n\r\n", b"5,\r\n",
        b"1" + b"0" * 15 + b"\r\n", b"f" * 17 + b"\r\n", b"0" * 64 + b"5\r\n", "٥\r\n".encode(),
        b"1\r\nab", b"1\r\na\n", b"1\r\na\r0", b"1\r\na0\r\n", b"1\r\na\r\n\r\n", b"1\r\na\r\n0\n",
        b"0\r\n\n", b"0\r\nX\r\n", b"0\r\nX : a\r\n", b"0\r\n X: a\r\n", b"0\r\n: a\r\n", b"0\r\nX: a\r\n b\r\n", b"0\r\nX: \x00\r\n",
        b"0\r\nX: a\rb\r\n", b"0\r\nContent-Length: 1\r\n", b"0\r\nTransfer-Encoding: chunked\r\n", b"0\r\nhost: a\r\n",
        b"0\r\nConnection: close\r\n", b"0\r\nConnection: x\r\n", b"0\r\nContent_Length: 1\r\n",
    ],
)  # fmt: skip
def test_refused(data: bytes) -> None:
    assert decode([data]) == REFUSED
    assert decode(one_by_one(data)) == REFUSED


@pytest.mark.parametrize("start", [b"1\r\na\n", b"1\r\nab", b"1\r\na\rb", b"5\ra", b"0\r\nX: a\rb"])
def test_what_cannot_become_right_is_refused_before_its_line_ends(start: bytes) -> None:
    assert decode(one_by_one(start)) == REFUSED


def test_bounds() -> None:
    """A size line, all extensions together and the trailers are bounded, whole and in pieces."""
    for data in (
        b"5;" + b"a" * 2000,
        b"1;" + b"a" * 1021 + b"\r\n",
        b"1;aaaaaaaaaaaaaaa\r\na\r\n" * 1100,
        b"0\r\n" + b"X: a\r\n" * 65,
        b"0\r\nX: " + b"a" * 17_000,
        b"0\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 17,
    ):
        assert decode([data]) == REFUSED
        assert decode([data[at : at + 100] for at in range(0, len(data), 100)]) == REFUSED
    fits = b"0\r\n" + b"X: a\r\n" * 64 + b"\r\n"
    assert len(decode([fits]).trailers) == 64


def test_a_decoder_that_is_done_takes_no_more() -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(b"1\r\na\r\n0\r\n\r\nmore") == [b"a"]
    assert decoder.done and decoder.rest == b"more"
    assert decoder.feed(b"again") == [] and decoder.rest == b"again"


def test_a_large_chunk_is_handed_on_as_it_comes() -> None:
    """Nothing is kept of it, so a chunk may be as large as its sender likes."""
    decoder = ChunkDecoder()
    assert decoder.feed(b"fffffffffffff\r\n") == []
    piece = bytes(1 << 20)
    assert decoder.feed(piece) == [piece]
    assert not decoder.done


# --- writing


@given(st.lists(st.binary(max_size=30), max_size=5), st.lists(st.tuples(st.just(b"X-T"), VALUES), max_size=2))
def test_what_we_write_is_read_again(pieces: list[bytes], trailers: Pairs) -> None:
    data = b"".join(map(encode_chunk, pieces)) + encode_end(trailers)
    assert decode([data]) == Decoded(b"".join(pieces), trailers, True, b"")


def test_an_empty_piece_does_not_end_the_body() -> None:
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_end() == b"0\r\n\r\n"
    assert encode_end([(b"A", b"1"), (b"B", b"")]) == b"0\r\nA: 1\r\nB: \r\n\r\n"


@pytest.mark.parametrize(
    "pair", [(b"A", b"1\r\nB: 2"), (b"A: b\r\n", b""), (b"", b"a"), (b"A b", b"c"), (b"A", b"\x00")]
)
def test_a_trailer_that_is_none_is_not_written(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="not a trailer"):
        encode_end([pair])


def test_many_small_chunks_of_one_read_are_one_piece() -> None:
    """Each would cost a write of its own further on: a client could keep the loop busy with a few bytes."""
    decoder = ChunkDecoder()
    assert decoder.feed(b"1\r\na\r\n" * 1000 + b"2;x=y\r\nbc\r\n" + b"5\r\nde") == [b"a" * 1000 + b"bcde"]
    assert decoder.feed(b"fgh\r\n" + b"1\r\ni\r") == [b"fghi"]
    assert decoder.feed(b"\n0\r\n\r\nrest") == []
    assert (decoder.done, decoder.rest) == (True, b"rest")


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"Host",
        b"Connection",
        b"Upgrade",
        b"TE",
        b"Keep-Alive",
        b"Expect",
        b"X-Forwarded-For",
        b"Forwarded",
        b"Via",
        b"X-Request-Id",
    ],
)
def test_what_the_mesh_tells_the_next_hop_is_no_trailer(name: bytes) -> None:
    """A server that takes trailers for headers would believe the client."""
    with pytest.raises(HttpError):
        ChunkDecoder().feed(b"0\r\n" + name + b": 1\r\n\r\n")
