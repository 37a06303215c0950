"""What the mesh says itself in RESP, read back by hiredis; and how strictly numbers are read."""

from __future__ import annotations

from typing import Any, Optional

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec import resp

ARGUMENTS = st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=9), st.integers()), min_size=1, max_size=5)


def heard(data: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(data)
    reply = reader.gets()
    assert reply is not False, "unfinished"
    assert reader.gets() is False and not reader.has_data()
    return reply


@given(ARGUMENTS)
def test_a_command_is_an_array_of_strings(arguments: list[Any]) -> None:
    expected = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
    assert heard(resp.pack(arguments)) == expected


@given(st.binary(max_size=50), st.integers(-(2**63), 2**63 - 1))
def test_values(value: bytes, number: int) -> None:
    assert heard(resp.bulk(value)) == value
    assert heard(resp.integer(number)) == number
    assert heard(resp.array([resp.bulk(value), resp.integer(number), resp.null(2)])) == [value, number, None]
    assert heard(resp.mapping([(resp.bulk(value), resp.integer(number))], 3)) == {value: number}
    assert heard(resp.mapping([(resp.bulk(value), resp.integer(number))], 2)) == [value, number]
    assert heard(resp.push([resp.bulk(value)], 2)) == heard(resp.push([resp.bulk(value)], 3)) == [value]


def test_what_does_not_change() -> None:
    assert heard(resp.OK) == b"OK"
    assert heard(resp.null(2)) is None and heard(resp.null(3)) is None and heard(resp.NULL_ARRAY) is None


@given(st.text(max_size=30))
def test_an_error_is_one_line_whatever_it_says(text: str) -> None:
    data = resp.error("MESHDENY", text)
    assert data.startswith(b"-MESHDENY ") and data.endswith(b"\r\n")
    assert b"\r" not in data[:-2] and b"\n" not in data[:-2]


def test_bytes_of_a_client_come_back_as_they_were() -> None:
    assert (
        resp.error("ERR", "unknown '" + b"\xff".decode("utf-8", "surrogateescape") + "'") == b"-ERR unknown '\xff'\r\n"
    )


def test_a_protocol_error_says_what_a_server_says() -> None:
    assert resp.RespError("invalid bulk length").reply == b"-ERR Protocol error: invalid bulk length\r\n"


@pytest.mark.parametrize("text", [b"a\rb", b"a\n"])
def test_a_simple_string_is_one_line(text: bytes) -> None:
    with pytest.raises(ValueError, match="not one line"):
        resp.simple(text)
    assert resp.simple(b"PONG") == b"+PONG\r\n"


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"0", 0), (b"7", 7), (b"1023", 1023), (b"1024", 1024), (b"536870912", 536870912), (b"-1", -1), (b"-20", -20),
     (b"", None), (b"-", None), (b"00", None), (b"01", None), (b"-0", None), (b"+1", None), (b" 1", None), (b"1_0", None),
     (b"1" * 11, None), (b"2147483648", None), ("٥".encode(), None), (b"\xb2", None)],
)  # fmt: skip
def test_numbers_are_read_as_strictly_as_a_server_does(text: bytes, number: Optional[int]) -> None:
    assert resp.number_in(text, -100, resp.COUNT_LIMIT) == number


def test_a_number_out_of_range_is_none() -> None:
    assert resp.number_in(b"5", 6, 7) is None and resp.number_in(b"5", 3, 4) is None


VALUES = st.lists(st.one_of(st.none(), st.sampled_from([b"$-1", b"", b"\r\n", b"$-1\r\n", b"a\r", b"\n"]), st.binary()))


@given(VALUES, st.integers(-1, 1))
def test_strings_are_cut_as_they_were_made_or_not_at_all(values: list[Optional[bytes]], more: int) -> None:
    text = b"".join([resp.NULL if each is None else resp.bulk(each) for each in values])
    found = resp.strings(text, len(values) + more)
    if found is not None:
        assert more == 0
        heads = [b"$-1" if each is None else b"$%d" % len(each) for each in values]
        assert found == (heads, [each or b"" for each in values])
    else:
        # What ends in $-1 is taken for a null beside one, which is too rare to be looked into.
        odd = [each for each in values if each is not None and (b"\r" in each or b"\n" in each or each[-3:] == b"$-1")]
        assert more or odd


def test_long_and_odd_strings_are_not_cut() -> None:
    assert resp.strings(resp.bulk(b"x" * 1023), 1) == ([b"$1023"], [b"x" * 1023])
    assert resp.strings(resp.bulk(b"x" * 1024), 1) is None
    assert resp.strings(b"$03\r\nabc\r\n", 1) is None
    assert resp.strings(b"$3\r\nabc\r\n$3", 1) is None
