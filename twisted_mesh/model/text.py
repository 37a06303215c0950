"""How error messages show a value, and how a class that is written as text meets pydantic."""

from __future__ import annotations

import json
from typing import Any, Callable

from pydantic_core import CoreSchema, core_schema

from twisted_mesh.model.scalars import Flag

_SHOWN = 60


def describe(value: object) -> str:
    """Say in a few words what a value is, as error messages show what they got."""
    if value is None:
        return "nothing"
    if isinstance(value, Flag):
        value = bool(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        text = str(value)
        return json.dumps(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...", ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, dict) else type(value).__name__


def expected(what: str, value: object) -> ValueError:
    """Make the error that says what would have been right and what was there instead."""
    return ValueError(f"expected {what}, got {describe(value)}")


def text_schema(cls: type, parse: Callable[[Any], Any]) -> CoreSchema:
    """Return the core schema of a class whose instances are written as text, which ``str`` gives back."""

    def read(value: object) -> object:
        return value if isinstance(value, cls) else parse(value)

    return core_schema.no_info_plain_validator_function(
        read,
        serialization=core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema(), when_used="json"
        ),
    )
