"""Texts with values of the call in them: ``%CLIENT%``, ``%HEADER(x-team)%``, ``%SEGMENT(id)%``.

The names are those of the access log's format, as far as they say something before the call has ended.
"""

from __future__ import annotations

import difflib
import re
from typing import Callable, Sequence, Union

from twisted_mesh.call import Call
from twisted_mesh.filters.log_format import ARGUMENT_FIELDS, FIELDS, Getter
from twisted_mesh.filters.route import Route

# Those that are known while the call runs; ENDPOINT and ATTEMPTS once it was sent.
NAMES = (
    *("PROTOCOL", "LISTENER", "ROUTE", "METHOD", "HOST", "AUTHORITY", "PATH", "QUERY", "VERSION"),
    *("CLUSTER", "ENDPOINT", "ATTEMPTS", "ID", "PEER", "CLIENT", "IDENTITY", "USER_AGENT"),
)
_FIELD = re.compile(r"%(?:([A-Z_]+)(?:\(([^()%]+)\))?)?%")
# What cannot stand in a header field, whoever put it into the call.
_ODD = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

Text = Callable[[Call], str]


def call_text(text: str) -> Union[str, Text]:
    """Return the text itself, or, if it holds values of the call, a function that puts them in.

    A value that is not known leaves nothing; characters that cannot stand in a header field become ``?``.  A % that
    begins no name stands for itself, as in ``50%`` or ``%2F``; ``%%`` is for where it would.

    :raises ValueError: there is no such value; one line that says what would be right.
    """
    parts: list[Union[str, Getter]] = []
    at = 0
    for found in _FIELD.finditer(text):
        parts.append(text[at : found.start()])
        parts.append("%" if found.group() == "%%" else _getter(found[1], found[2]))
        at = found.end()
    parts.append(text[at:])
    if all(isinstance(each, str) for each in parts):
        return "".join(each for each in parts if isinstance(each, str))
    return _joined(parts)


def _joined(parts: Sequence[Union[str, Getter]]) -> Text:
    getters = [each if callable(each) else _constant(each) for each in parts if each != ""]

    def text(call: Call) -> str:
        made = "".join([str(get(call)) for get in getters])
        # Nearly everything that is sent is plain.
        return (made if made.isascii() and made.isprintable() else _ODD.sub("?", made)).strip(" \t")

    return text


def _constant(text: str) -> Getter:
    return lambda call: text


def _getter(name: str, argument: Union[str, None]) -> Getter:
    if argument is None and name in NAMES:
        return FIELDS[name].get
    if argument is not None and name == "HEADER":
        return ARGUMENT_FIELDS[name][0](argument)
    if argument is not None and name == "SEGMENT":
        return _segment(argument)
    known = [*NAMES, "HEADER", "SEGMENT"]
    if name in ("HEADER", "SEGMENT"):
        raise ValueError(f"%{name}% wants a name: %{name}(name)%")
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean %{near[0]}%?" if near else f"; there are {', '.join(known)}"
    raise ValueError(f"no value %{name}% while a call runs (or not with an argument){hint}")


def _segment(name: str) -> Getter:
    def get(call: Call) -> object:
        route = call.route
        return route.segments(call).get(name, "") if isinstance(route, Route) else ""

    return get
