"""YAML 1.2 text to a tree of marked values.

PyYAML's C parser finds the events; what they mean is decided here by the YAML 1.2 core schema, so that ``on``, ``off``,
``no``, ``22:22`` and ``1.10`` stay what was written where text is wanted.  Its composer is not used: it recurses in C
without a bound, and a line of 50,000 brackets ends the process.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Optional, Union

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from twisted_mesh.control.tree import Items, Key, Mark, Table, remark
from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import Flag, Real, Text, Whole, scalar

# How deep collections may nest.  The models need 9; the rest is for settings of filters.
MAX_DEPTH = 32
# How many values a file may hold, those that aliases stand for included: a file of 2,000 resources holds 40,000.
MAX_VALUES = 200_000
# int() refuses more than 4,300 digits, and nothing needs more than these.
_MAX_DIGITS = 40

_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_FLAGS = frozenset(["true", "True", "TRUE", "false", "False", "FALSE"])
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_REAL = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Substitute = Callable[[str], str]
"""Replaces what stands for something else in a scalar; raises `ValueError`."""


class _Stop(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def read_yaml(text: str, file: str, problems: list[Problem], substitute: Optional[Substitute] = None) -> Any:
    """Return the tree that `text` holds; None for an empty file.

    What is wrong goes to `problems`; the tree then holds what could be read.
    """
    top = Mark(file, 1, 1)
    found = _UNPRINTABLE.search(text)
    if found is not None:
        before = text[: found.start()].split("\n")
        where = Mark(file, len(before), len(before[-1]) + 1)
        problems.append(where.problem(f"a character that no YAML file may hold: {found[0]!a}"))
        return None
    try:
        return _Reading(text, top, problems, substitute).document()
    except _Stop as stop:
        problems.append(stop.problem)
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax(error, file))
    except yaml.YAMLError as error:
        problems.append(top.problem(f"not YAML: {' '.join(str(error).split())}"))
    return None


def _syntax(error: yaml.MarkedYAMLError, file: str) -> Problem:
    """Say in one line what the parser did not like."""
    at: Any = error.problem_mark or error.context_mark
    mark = Mark(file, at.line + 1, at.column + 1) if at is not None else Mark(file, 1, 1)
    message = error.problem or "not YAML"
    if "maximum nesting depth" in message:
        # A bound that libyaml has of its own since 0.2.6, and meets first, as it looks ahead.
        return mark.problem(f"nested more than {MAX_DEPTH} deep")
    if error.context:
        message += f" ({error.context}"
        start: Any = error.context_mark
        message += f" that starts in line {start.line + 1})" if start is not None else ")"
    if "cannot start any token" in message and "found character" in message:
        message += "; put it in quotes, and indent with spaces"
    return mark.problem(f"not YAML: {message}")


class _Reading:
    """The reading of one file."""

    def __init__(self, text: str, top: Mark, problems: list[Problem], substitute: Optional[Substitute]) -> None:
        self._next: Callable[[], Any] = _LOADER(text).get_event
        self._top = top
        self._problems = problems
        self._substitute = substitute
        self._anchors: dict[str, Any] = {}
        self._values = 0

    def document(self) -> Any:
        """Read the only document."""
        self._next()  # the start of the stream
        if isinstance(self._next(), StreamEndEvent):
            return None
        event = self._next()
        value = self._value(event, self._mark(event, None, ""), 0)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, StreamEndEvent):
            self._say(after, "expected one document in a file; write the second to a file of its own")
        return value

    def _mark(self, event: Any, parent: Optional[Mark], key: Key) -> Mark:
        start = event.start_mark
        return Mark(self._top.file, start.line + 1, start.column + 1, parent, key)

    def _say(self, event: Any, message: str) -> None:
        self._problems.append(self._mark(event, None, "").problem(message))

    def _value(self, event: Any, mark: Mark, depth: int) -> Any:
        self._count(1, mark)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, mark, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Unfinished
        self._nest(depth, mark)
        value: Any
        if isinstance(event, ScalarEvent):
            value = self._scalar(event, mark)
        elif isinstance(event, MappingStartEvent):
            value = self._table(mark, depth + 1)
        else:
            value = self._items(mark, depth + 1)
        self._check_tag(event, value, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _count(self, values: int, mark: Mark) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _Stop(mark.problem(f"more than {MAX_VALUES:,} values, those that aliases stand for included"))

    def _nest(self, depth: int, mark: Mark) -> None:
        if depth >= MAX_DEPTH:
            raise _Stop(Problem(mark.file, mark.line, mark.column, "", f"nested more than {MAX_DEPTH} deep"))

    def _alias(self, name: Optional[str], mark: Mark, depth: int) -> Any:
        value = self._anchors.get(name or "", _Unknown)
        if value is _Unknown:
            self._problems.append(mark.problem(f"there is no anchor &{name} before this"))
        elif value is _Unfinished:
            self._problems.append(mark.problem(f"the alias *{name} stands inside its own anchor"))
        else:
            size, deep = _measure(value)
            self._count(size, mark)
            self._nest(depth + deep - 1, mark)
            return remark(value, mark)
        return None

    def _table(self, mark: Mark, depth: int) -> Table:
        table = Table(mark)
        while True:
            event = self._next()
            if isinstance(event, MappingEndEvent):
                return table
            name_mark = self._mark(event, mark, "?")
            name = self._name(event, name_mark, depth)
            if name is not None:
                name_mark.key = name
            value_event = self._next()
            value_mark = self._mark(value_event, mark, name_mark.key)
            value = self._value(value_event, value_mark, depth)
            if name is None:
                continue
            if name in table:
                self._problems.append(name_mark.problem(f"given twice; first at {table.names[name]}"))
                continue
            table.put(name, name_mark, value, value_mark)

    def _name(self, event: Any, mark: Mark, depth: int) -> Optional[str]:
        """Read a key; its text counts, whatever the core schema would make of it."""
        if isinstance(event, ScalarEvent):
            if event.anchor is not None:
                self._anchors[event.anchor] = scalar(Text, event.value, event.value, mark)
            return str(event.value)
        value = self._value(event, mark, depth)
        if isinstance(value, (Text, Whole, Real)):
            return str(value)
        self._problems.append(mark.problem("expected text as a key"))
        return None

    def _items(self, mark: Mark, depth: int) -> Items:
        items = Items(mark)
        while True:
            event = self._next()
            if isinstance(event, SequenceEndEvent):
                return items
            item_mark = self._mark(event, mark, len(items))
            items.marks.append(item_mark)
            items.append(self._value(event, item_mark, depth))

    def _scalar(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        if self._substitute is not None and ("${" in text or text.startswith("file:")):
            try:
                text = self._substitute(text)
            except ValueError as error:
                self._problems.append(mark.problem(str(error)))
        kind = event.tag[len(_TAG) :] if event.tag and event.tag.startswith(_TAG) else ""
        if kind == "str" or event.tag == "!" or not (kind or event.implicit[0]):
            return scalar(Text, text, text, mark)
        return _resolved(text, mark)

    def _check_tag(self, event: Any, value: Any, mark: Mark) -> None:
        """Complain of a tag that is none of the core schema, or does not fit what it stands at."""
        tag: Optional[str] = event.tag
        if tag is None or tag == "!":
            return
        wanted = _KINDS.get(tag[len(_TAG) :]) if tag.startswith(_TAG) else None
        if wanted is None:
            self._problems.append(mark.problem(f"unknown tag {tag}"))
        elif not isinstance(value, wanted):
            self._problems.append(mark.problem(f"this is no !!{tag[len(_TAG) :]}"))


class _Unknown:
    """Stands for an anchor that is not there."""


class _Unfinished:
    """Stands for an anchor whose value is still being read."""


_KINDS: dict[str, Union[type, tuple[type, ...]]] = {
    "str": Text,
    "int": Whole,
    "float": (Real, Whole),
    "bool": Flag,
    "null": type(None),
    "map": Table,
    "seq": Items,
}


def _resolved(text: str, mark: Mark) -> Any:
    """Make of a plain scalar what the core schema says (YAML 1.2.2, 10.3.2)."""
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return scalar(Flag, text, text, mark)
    if len(text) <= _MAX_DIGITS:
        if _WHOLE.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return scalar(Whole, int(text, base), text, mark)
        if _REAL.fullmatch(text):
            number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            return scalar(Real, number, text, mark)
    return scalar(Text, text, text, mark)


def _measure(value: Any) -> tuple[int, int]:
    """Return how many values a tree holds and how deep they nest."""
    inside = value.values() if isinstance(value, Table) else value if isinstance(value, Items) else ()
    sizes = [_measure(each) for each in inside]
    return 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
