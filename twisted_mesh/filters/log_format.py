"""How a line of the access log looks: JSON, or a format with %FIELDS%.

`FIELDS` is the table of everything a line can say; the JSON keys are the same names in lower case.  A format's
`capture` runs when a call ends and takes what is needed out of it, so that nothing keeps the call; `render` makes lines
of many captures at once.

Whatever a client sends stays inside its field: JSON is JSON, and a text line shows control characters, quotes and
backslashes (and blanks, where the format does not quote the field) as ``\\xHH``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from operator import attrgetter
from typing import Any, Callable, Optional, Protocol

from twisted_mesh.call import Call
from twisted_mesh.headers import lower_name

TEXT = (
    '%TIME% %PROTOCOL% %LISTENER% "%METHOD% %PATH%" %STATUS% %FLAGS% %BYTES_IN% %BYTES_OUT% %DURATION_MS% %HEAD_MS% '
    '%CLIENT% %ID% "%HOST%" "%USER_AGENT%" %ROUTE% %CLUSTER% %ENDPOINT% %ATTEMPTS% "%DETAILS%"\n'
)

Getter = Callable[[Call], object]


class Format(Protocol):
    """Makes lines of calls."""

    def capture(self, call: Call) -> Any:
        """Return what a line needs of a call that has ended."""

    def render(self, captured: list[Any]) -> bytes:
        """Return one line for each capture."""

    def set_offset(self, offset: float) -> None:
        """Say what must be added to a call's times to get seconds since the epoch."""


@dataclass(frozen=True)
class LogField:
    """One thing that a line can say.

    `get` returns text, "" if there is nothing to say; where `number` is true a number, or None.
    """

    get: Getter
    says: str
    number: bool = False


def milliseconds(start: float, end: float) -> float:
    """Return a span in milliseconds, to the microsecond; `round` takes ten times as long."""
    return int((end - start) * 1e6 + 0.5) / 1000


def _since_start(name: str) -> Getter:
    pick = attrgetter("started", name)

    def get(call: Call) -> object:
        start, at = pick(call)
        return milliseconds(start, at) if at else None

    return get


def _name(of: str) -> Getter:
    pick = attrgetter(of)

    def get(call: Call) -> object:
        named = pick(call)
        return "" if named is None else named.name

    return get


def _header(name: str) -> Getter:
    wire = lower_name(name)

    def get(call: Call) -> object:
        value = call.headers.get_bytes(wire)
        return "" if value is None else value.decode("latin-1")

    return get


def extras(call: Call) -> Any:
    """Return what filters left in ``call.context["log"]``; None if nothing."""
    return call._context.get("log") if call._context else None


def _extra(key: str) -> Getter:
    def get(call: Call) -> object:
        left = extras(call)
        value = left.get(key) if isinstance(left, dict) else None
        return "" if value is None else _text(value)

    return get


FIELDS: dict[str, LogField] = {
    # TIME needs the offset between two clocks, which a format has: see `TextFormat`.
    "TIME": LogField(lambda call: "", "when the call started, UTC, ISO 8601 with milliseconds"),
    "PROTOCOL": LogField(attrgetter("protocol"), "http, tcp or redis"),
    "LISTENER": LogField(attrgetter("listener"), "name of the listener"),
    "ROUTE": LogField(_name("route"), "name of the route that matched"),
    "METHOD": LogField(attrgetter("operation"), "HTTP method, CONNECT for a TCP connection, Redis command"),
    "HOST": LogField(attrgetter("host"), "host asked for, lower case, without the port"),
    "AUTHORITY": LogField(attrgetter("authority"), "host asked for, as sent (not in JSON)"),
    "PATH": LogField(attrgetter("resource"), "normalised path without the query, or Redis key"),
    "QUERY": LogField(attrgetter("query"), "what stood behind the ?"),
    "VERSION": LogField(attrgetter("version"), "HTTP version, 1.0 or 1.1"),
    "STATUS": LogField(attrgetter("status"), "HTTP status; 0 if there was no answer", number=True),
    "FLAGS": LogField(lambda call: ",".join(call.flags), "response flags, in the order they arose"),
    "DETAILS": LogField(attrgetter("details"), "what went wrong, one line"),
    "CLUSTER": LogField(_name("cluster"), "name of the cluster"),
    "ENDPOINT": LogField(
        lambda call: "" if call.endpoint is None else call.endpoint.address, "address of the last endpoint tried"
    ),
    "TRIED": LogField(
        lambda call: ",".join([each.address for each in call.tried]), "endpoints that failed before that one"
    ),
    "ATTEMPTS": LogField(attrgetter("attempts"), "tries", number=True),
    "COUNT": LogField(attrgetter("count"), "operations in this call: pipelined Redis commands, else 1", number=True),
    "BYTES_IN": LogField(attrgetter("bytes_in"), "body bytes from the client", number=True),
    "BYTES_OUT": LogField(attrgetter("bytes_out"), "body bytes to the client", number=True),
    "DURATION_MS": LogField(_since_start("ended"), "ms from the first byte of the call to its last", number=True),
    "RECEIVED_MS": LogField(_since_start("received"), "ms until the request was complete", number=True),
    "CONNECTED_MS": LogField(_since_start("connected"), "ms until an upstream connection was in hand", number=True),
    "HEAD_MS": LogField(_since_start("head_at"), "ms until the reply head was known", number=True),
    "ID": LogField(attrgetter("id"), "request id"),
    "PEER": LogField(attrgetter("peer"), "address of the client's end of the connection"),
    "CLIENT": LogField(attrgetter("client"), "host of the client, by the trusted hops"),
    "IDENTITY": LogField(lambda call: call.identity or "", "who the caller is, where something found out"),
    "USER_AGENT": LogField(_header("user-agent"), "the User-Agent header"),
}
# With an argument: %HEADER(x-team)%, %EXTRA(bucket)%.
ARGUMENT_FIELDS: dict[str, tuple[Callable[[str], Getter], str]] = {
    "HEADER": (_header, "a request header"),
    "EXTRA": (_extra, 'one entry of call.context["log"], where filters leave what they want logged'),
}

_FIELD = re.compile(r"%(?:([A-Z_]+)(?:\(([^()%]+)\))?)?%")


def escape(text: str, blanks: bool = False) -> str:
    """Return `text` with every character that could break out of its field as ``\\xHH`` or ``\\uHHHH``.

    Those are quotes, backslashes, and all that Python does not call printable: controls, line and paragraph separators,
    marks of direction, lone surrogates.  With `blanks` also the blank.
    """
    if is_plain(text) and not (blanks and " " in text):
        return text
    odd = '"\\ ' if blanks else '"\\'
    return "".join([each if each.isprintable() and each not in odd else _hex(ord(each)) for each in text])


def is_plain(text: str) -> bool:
    """Whether `escape` would leave it alone."""
    return text.isprintable() and '"' not in text and "\\" not in text


def _hex(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Stamps:
    """Times as text.

    The text of the last millisecond is kept, as a busy listener asks for it again and again, and that of the last
    second, as ``strftime`` costs 2 us.
    """

    __slots__ = ("_at", "_second", "_text", "_to_second", "offset")

    def __init__(self) -> None:
        self.offset = 0.0
        self._at = -1
        self._text = ""
        self._second = -1
        self._to_second = ""

    def text(self, seconds: float) -> str:
        """Return a listener's time, ``2026-01-31T12:00:00.123Z``."""
        at = int((seconds + self.offset) * 1000)
        if at != self._at:
            self._at = at
            second, millisecond = divmod(at, 1000)
            if second != self._second:
                self._second = second
                self._to_second = f"{datetime.fromtimestamp(second, timezone.utc):%Y-%m-%dT%H:%M:%S}"
            self._text = f"{self._to_second}.{millisecond:03d}Z"
        return self._text


class TextFormat:
    """Lines by a format.  With the 19 fields of `TEXT` a call costs 1.6 us to capture and 1.8 us to render.

    :raises ValueError: the format names a field that does not exist, or a % stands alone.
    """

    def __init__(self, text: str) -> None:
        self._stamps = Stamps()
        self._getters: list[Getter] = []
        # Which values are texts outside of quotes, where a blank would begin another field.
        self._bare: list[int] = []
        self._template = self._parse(text[:-1] if text.endswith("\n") else text)
        # What a line has of these without any value.
        self._quotes = self._template.count('"')
        self._slashes = self._template.count("\\")

    def capture(self, call: Call) -> list[Any]:
        """Return the value of each field."""
        return [get(call) for get in self._getters]

    def render(self, captured: list[list[Any]]) -> bytes:
        """Return one line for each capture."""
        try:
            return "".join([self._line(values) for values in captured]).encode()
        except Exception:
            # A filter has put something odd into a call; the other lines shall not suffer.
            return "".join([self._line([_text(each) for each in values]) for values in captured]).encode()

    def set_offset(self, offset: float) -> None:
        """Say what must be added to a call's times to get seconds since the epoch."""
        self._stamps.offset = offset

    def _line(self, values: list[Any]) -> str:
        line = self._template % tuple([value or (0 if value == 0 else "-") for value in values])
        # One look at the whole: hardly ever is there more than the format itself brought.
        if (
            line.isprintable()
            and line.count('"') == self._quotes
            and line.count("\\") == self._slashes
            and " " not in "".join([values[at] for at in self._bare])
        ):
            return line + "\n"
        shown = [
            escape(value, at in self._bare) if isinstance(value, str) else value for at, value in enumerate(values)
        ]
        return self._template % tuple([value or (0 if value == 0 else "-") for value in shown]) + "\n"

    def _parse(self, text: str) -> str:
        """Fill the lists, and return the template for the % operator."""
        at = quotes = 0
        template = ""
        for match in _FIELD.finditer(text):
            template += _plain(text[at : match.start()])
            quotes += text.count('"', at, match.start())
            at = match.end()
            if match.group() == "%%":
                template += "%%"
                continue
            get, number = self._field(*match.groups())
            if not number and quotes % 2 == 0:
                self._bare.append(len(self._getters))
            self._getters.append(get)
            template += "%s"
        return template + _plain(text[at:])

    def _field(self, name: str, argument: Optional[str]) -> tuple[Getter, bool]:
        """Return where a field comes from, and whether it is a number or its like."""
        if name == "TIME" and argument is None:
            stamps = self._stamps
            return lambda call: stamps.text(call.started), True
        if argument is None and name in FIELDS:
            return FIELDS[name].get, FIELDS[name].number
        if argument is not None and name in ARGUMENT_FIELDS:
            return ARGUMENT_FIELDS[name][0](argument), False
        raise ValueError(_unknown(name))


def _text(value: object) -> str:
    try:
        return "" if value is None else str(value)
    except Exception:
        # Its __str__ fails; the line is worth more than that.
        return "?"


def _plain(text: str) -> str:
    if "%" in text:
        raise ValueError(f"a % that begins no field in {text!r}; write %% for the character itself")
    return text


def _unknown(name: str) -> str:
    if name in ARGUMENT_FIELDS:
        return f"%{name}% wants a name: %{name}(name)%"
    near = difflib.get_close_matches(name, [*FIELDS, *ARGUMENT_FIELDS], 1)
    hint = f"; did you mean %{near[0]}%?" if near else f"; there are {', '.join(FIELDS)}"
    return f"no field %{name}% (or not with an argument){hint}"
