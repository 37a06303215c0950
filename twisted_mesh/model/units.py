"""Values that have a text of their own: durations, sizes, rates, addresses.

Each is read by a pure function that raises `ValueError` with what would be right, is shown as a text that reads back as
the same value, and has a type for the models, which the settings of filters may use as well::

    @dataclass(frozen=True)
    class Settings:
        window: Duration = 1.0          # seconds; written 250ms, 2s, 1m30s
        limit: Rate = Rate(100, 1.0)    # written 100/s
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic_core import CoreSchema

from twisted_mesh.model.address import Address
from twisted_mesh.model.text import describe, expected, text_schema

__all__ = [
    "Address",
    "Duration",
    "Interval",
    "Rate",
    "Size",
    "duration_text",
    "parse_duration",
    "parse_size",
    "size_text",
]

# The longest duration that means anything; it keeps sums of durations far away from infinity.
LONGEST = 366 * 86400.0
LARGEST = 2**60


def _number_from_python(value: object, info: ValidationInfo) -> bool:
    """Whether a bare number comes from Python code.  What is read from a file or the bus carries a context."""
    return info.context is None and isinstance(value, (int, float)) and not isinstance(value, bool)


# --- durations

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9})(\.\d{1,6})?s)?(?:(\d{1,12})ms)?", re.ASCII)
_A_DURATION = "a duration such as 250ms, 2s or 1m"


def parse_duration(text: object) -> float:
    """Return the seconds of ``250ms``, ``2s``, ``1.5s``, ``1m``, ``1h`` or a sum of them such as ``1m30s``.

    A bare number is refused, since nobody can tell its unit; only 0 needs none.
    """
    if text == 0 and not isinstance(text, bool):
        return 0.0
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise ValueError(f"expected a duration with a unit, such as {text}s or {text}ms, got {text}")
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or not text:
        if text == "0":
            return 0.0
        raise expected(_A_DURATION, text)
    hours, minutes, whole, fraction, thousandths = found.groups(default="0")
    seconds = int(hours) * 3600 + int(minutes) * 60 + int(whole) + int(thousandths) / 1000
    if fraction != "0":
        seconds += float(fraction)
    if seconds > LONGEST:
        raise ValueError(f"expected a duration of at most a year, got {describe(text)}")
    return float(seconds)


def duration_text(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as `seconds`."""
    if seconds == int(seconds):
        whole = int(seconds)
        if whole and whole % 3600 == 0:
            return f"{whole // 3600}h"
        return f"{whole // 60}m" if whole and whole % 60 == 0 else f"{whole}s"
    thousandths = seconds * 1000
    if abs(thousandths - round(thousandths)) < 1e-6:
        return f"{round(thousandths)}ms"
    return f"{seconds:.6f}s"


def _duration(value: object, info: ValidationInfo) -> float:
    if _number_from_python(value, info):
        seconds = float(value)  # type: ignore[arg-type]
        if not 0 <= seconds <= LONGEST:
            raise expected("seconds from 0 to a year", value)
        return seconds
    return parse_duration(value)


def _more_than_zero(value: float) -> float:
    if value <= 0:
        raise ValueError(f"expected {_A_DURATION}, more than 0")
    return value


_DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?$|^0$",
    "examples": ["250ms", "2s", "1m"],
}

Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"const": 0}]}),
]
"""Seconds, as float; written with a unit."""

Interval = Annotated[Duration, AfterValidator(_more_than_zero), WithJsonSchema(_DURATION_SCHEMA)]
"""A `Duration` that is not 0."""


# --- sizes

_UNITS = {
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "GB": 10**9,
    "MB": 10**6,
    "KB": 10**3,
    "kB": 10**3,
    "B": 1,
}
_SIZE = re.compile(r"(\d{1,24}) ?([kKMG]i?B|B)?", re.ASCII)


def parse_size(text: object) -> int:
    """Return the bytes of ``64KiB``, ``1MiB``, ``10MB`` or a plain number of bytes."""
    found = _SIZE.fullmatch(str(text)) if isinstance(text, (str, int)) and not isinstance(text, bool) else None
    unit = (found[2] or "B") if found is not None else ""
    if found is None or unit not in _UNITS:
        raise expected("a size such as 64KiB, 10MB or a number of bytes", text)
    size = int(found[1]) * _UNITS[unit]
    if size > LARGEST:
        raise ValueError(f"expected a size of at most 1 EiB, got {describe(text)}")
    return size


def size_text(size: int) -> str:
    """Return the shortest text that `parse_size` reads as `size`."""
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "KB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(size_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d+ ?([kKMG]i?B|B)?$", "examples": ["64KiB", "10MB"]},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]
"""Bytes, as int."""


# --- rates

_RATE = re.compile(r"(\d{1,12})/(\d{0,9})(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds; written ``100/s``, ``10/m`` or ``5/10s``."""

    count: int
    per: float

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Read a rate.

        :raises ValueError: it is none.
        """
        found = _RATE.fullmatch(text) if isinstance(text, str) else None
        if found is None or (found[2] and int(found[2]) == 0):
            raise expected("a rate such as 100/s, 10/m or 5/10s", text)
        return cls(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])

    def __str__(self) -> str:
        per = duration_text(self.per)
        return f"{self.count}/{per[1:] if per in ('1s', '1m', '1h') else per}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return text_schema(cls, cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d+/\d*(ms|s|m|h)$", "examples": ["100/s", "10/m", "5/10s"]}
