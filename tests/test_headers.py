"""Header fields: order, case, repetition, and what cannot be put into one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.headers import FRAMING, Headers, field, lower_name
from twisted_mesh.model import fields


def test_names_are_compared_without_case_and_kept_as_they_came() -> None:
    headers = Headers.of([("Content-Type", "text/plain")])
    assert headers.get("content-TYPE") == "text/plain"
    assert headers.get(b"CONTENT-type") == "text/plain"
    assert "content-type" in headers
    assert headers.fields[0][2] == b"Content-Type: text/plain"


def test_what_is_not_there() -> None:
    headers = Headers()
    assert headers.get("a") is None
    assert headers.get("a", "else") == "else"
    assert headers.get_all("a") == []
    assert "a" not in headers
    headers.remove("a")
    assert len(headers) == 0


def test_a_name_may_stand_several_times_in_order() -> None:
    headers = Headers.of([("a", "1"), ("b", "2"), ("A", "3")])
    assert headers.get("a") == "1"
    assert headers.get_all("a") == ["1", "3"]
    headers.add("a", "4")
    assert headers.get_all("a") == ["1", "3", "4"]
    assert list(headers.items()) == [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]


def test_set_puts_one_in_the_place_of_all() -> None:
    headers = Headers.of([("a", "1"), ("b", "2"), ("A", "3")])
    headers.set("A", "4")
    assert list(headers.items()) == [("b", "2"), ("a", "4")]


def test_remove_takes_all() -> None:
    headers = Headers.of([("a", "1"), ("b", "2"), ("A", "3")])
    headers.remove("a")
    assert list(headers.items()) == [("b", "2")]


def test_a_copy_changes_on_its_own() -> None:
    headers = Headers.of([("a", "1")])
    copy = headers.copy()
    copy.set("a", "2")
    copy.add("b", "3")
    assert list(headers.items()) == [("a", "1")]


def test_every_byte_of_a_value_survives() -> None:
    value = bytes(range(0x80, 0x100))
    headers = Headers([field("a", value)])
    text = headers.get("a")
    assert text is not None
    assert text.encode("latin-1") == value
    headers.set("b", text)
    assert headers.get_bytes(b"b") == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", "b\r\nevil: 1"),
        ("a", "b\nevil: 1"),
        ("a", "b\r"),
        ("a", "b\n"),
        ("a", "b\0c"),
        ("a", "b\x1bc"),
        ("a", "b\x7f"),
        ("a\r\nevil", "b"),
        ("", "b"),
        ("a b", "c"),
        ("a ", "c"),
        (" a", "c"),
        ("a:", "c"),
        ("a: b", "c"),
        ("a\tb", "c"),
        ("ä", "c"),
        ("a", "\u2603"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
    ],
)
def test_what_would_not_be_one_field_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        field(name, value)
    with pytest.raises(ValueError):
        Headers().set(name, value)
    with pytest.raises(ValueError):
        Headers().add(name, value)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_field_is_one_line_that_reads_as_what_went_in(name: str, value: str) -> None:
    try:
        made = field(name, value)
    except ValueError:
        return
    assert b"\r" not in made[2] and b"\n" not in made[2]
    before, _, after = made[2].partition(b": ")
    assert (before.decode("latin-1"), after.decode("latin-1")) == (name, value)


def test_a_configuration_and_a_filter_may_set_the_same_names() -> None:
    assert {each.decode() for each in FRAMING} == fields.FRAMING


def test_a_tab_and_an_empty_value_are_fine() -> None:
    assert field("a", "b\tc")[1] == b"b\tc"
    assert field("a", "")[2] == b"a: "


def test_the_cache_of_names_is_bounded() -> None:
    for number in range(3000):
        assert lower_name(f"X-{number}") == b"x-%d" % number
    from twisted_mesh import headers

    assert len(headers._names) <= headers._NAMES_KEPT


def test_the_repr_shows_the_fields() -> None:
    assert repr(Headers.of([("A", "1")])) == "Headers([('a', '1')])"
