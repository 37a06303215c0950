"""Parts of HTTP messages that a configuration names: header fields (RFC 9110, 5.1 and 5.5) and status codes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from twisted_mesh.model.text import expected

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")
# They say where a message ends or belong to one connection, so only the adapter may write them.
FRAMING = frozenset(
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 9110, as methods and field names are."""
    return _TOKEN.fullmatch(text) is not None


def check_header_name(name: str) -> str:
    """Return `name` if it can stand in a header field.

    :raises ValueError: it cannot.
    """
    if not is_token(name):
        raise expected("a header name such as x-team (letters, digits and -)", name)
    return name


def check_set_header_name(name: str) -> str:
    """Return `name` if a filter or a route may set it.

    :raises ValueError: it is no name, or belongs to the framing of messages.
    """
    if check_header_name(name).lower() in FRAMING:
        raise ValueError(f"{name} belongs to the connection and to the framing of messages; it cannot be set")
    return name


def check_header_value(value: str) -> str:
    """Return `value` if it can stand in a header field.

    :raises ValueError: it holds control characters, characters beyond latin-1, or spaces at its ends.
    """
    if _VALUE.fullmatch(value) is None:
        raise expected("a header value (latin-1, no control characters, no spaces at its ends)", value)
    return value


HeaderName = Annotated[str, AfterValidator(check_header_name)]
"""The name of a header field, as written."""

SetHeaderName = Annotated[str, AfterValidator(check_set_header_name)]
"""The name of a header field that a configuration may set: none that frames messages."""

HeaderValue = Annotated[str, AfterValidator(check_header_value)]
"""The value of a header field."""


# --- status codes

_STATUSES = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII)


def parse_statuses(value: object) -> tuple[int, int]:
    """Return the first and the last status of ``200`` or ``200-299``."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(each) is int for each in value):
        value = f"{value[0]}-{value[1]}"
    found = _STATUSES.fullmatch(str(value)) if isinstance(value, (str, int)) else None
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise expected("a status such as 200, or a range such as 200-299", value)
    return int(found[1]), int(found[2] or found[1])


def statuses_text(value: tuple[int, int]) -> str:
    """Return the text that `parse_statuses` reads as `value`."""
    first, last = value
    return str(first) if first == last else f"{first}-{last}"


StatusRange = Annotated[
    tuple[int, int],
    BeforeValidator(parse_statuses),
    PlainSerializer(statuses_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[1-5]\d\d(-[1-5]\d\d)?$", "examples": ["200-299"]},
                {"type": "integer", "minimum": 100, "maximum": 599},
            ]
        }
    ),
]
"""The first and the last status of a range, both included."""
