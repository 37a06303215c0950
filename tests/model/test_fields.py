"""Header names, header values and statuses."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from twisted_mesh.model.fields import FRAMING, HeaderName, HeaderValue, SetHeaderName, StatusRange, parse_statuses


@pytest.mark.parametrize("name", ["x-team", "X-Team", "a", "!#$%&'*+.^_`|~0"])
def test_a_token_is_a_header_name(name: str) -> None:
    assert TypeAdapter(HeaderName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "x team", "x:y", "x\n", "ä", "x\0", '"'])
def test_anything_else_is_none(name: str) -> None:
    with pytest.raises(ValidationError, match="expected a header name"):
        TypeAdapter(HeaderName).validate_python(name)


@pytest.mark.parametrize("name", [*sorted(FRAMING), "Transfer-Encoding"])
def test_what_frames_messages_cannot_be_set(name: str) -> None:
    assert TypeAdapter(HeaderName).validate_python(name) == name
    with pytest.raises(ValidationError, match="cannot be set"):
        TypeAdapter(SetHeaderName).validate_python(name)


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "caf\xe9", "\xff"])
def test_latin_1_without_control_characters_is_a_header_value(value: str) -> None:
    assert TypeAdapter(HeaderValue).validate_python(value) == value


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "\0", " a", "a ", "\x7f", "\u20ac", "a\x80\n"])
def test_nothing_can_smuggle_a_line(value: str) -> None:
    with pytest.raises(ValidationError, match="expected a header value"):
        TypeAdapter(HeaderValue).validate_python(value)


@pytest.mark.parametrize(
    ("text", "statuses"), [(200, (200, 200)), ("200", (200, 200)), ("200-299", (200, 299)), ((400, 499), (400, 499))]
)
def test_statuses_are_a_range(text: object, statuses: tuple[int, int]) -> None:
    assert parse_statuses(text) == statuses
    adapter = TypeAdapter(StatusRange)
    assert adapter.validate_python(adapter.dump_python(statuses, mode="json")) == statuses


@pytest.mark.parametrize("text", [99, 600, "299-200", "2xx", None, [1], [], True, "200-"])
def test_anything_else_is_no_range(text: object) -> None:
    with pytest.raises(ValueError, match="expected a status such as 200"):
        parse_statuses(text)
