"""Scalars as they were written: each keeps its text, and a mark that says where it stands.

Pydantic asks a number for its ``str`` where text is wanted, so that ``1.10`` stays ``1.10`` for a label and is 1.1 for
a number.  Nothing of this stays in the models.
"""

from __future__ import annotations

from typing import Any


class Text(str):
    """A scalar that is text."""

    __slots__ = ("mark",)
    mark: Any


class Flag(Text):
    """``true`` or ``false``: a bool where one is wanted, text elsewhere."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return self.lower() == "true"


class Whole(int):
    """A whole number, and its text."""

    mark: Any
    text: str

    def __str__(self) -> str:
        return self.text


class Real(float):
    """A number with a point or an exponent, and its text."""

    mark: Any
    text: str

    def __str__(self) -> str:
        return self.text


def scalar(kind: type, value: Any, text: str, mark: object) -> Any:
    """Make a marked scalar."""
    made: Any = kind(value)
    if kind is Whole or kind is Real:
        made.text = text
    made.mark = mark
    return made


def plain(value: Any) -> Any:
    """Return the same value without marks: only dict, list, str, int, float, bool and None."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Flag):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Whole):
        return int(value)
    return float(value) if isinstance(value, Real) else value
