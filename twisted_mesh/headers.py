"""Header fields as they travel: ordered, compared without case, each kept as the line it came in.

Inside, a field is a tuple ``(name, value, line, sort)`` of immutable parts, so that the codec can hand out the same
tuple for the same line again and again, and writing a head is one join over the lines.  `sort` is 0 for a plain field;
the codec gives the fields that mean something to a proxy other numbers.  Filters use the `str` methods.
"""

from __future__ import annotations

import re
from typing import Iterable, Iterator, Optional, Union

Field = tuple[bytes, bytes, bytes, int]
Text = Union[str, bytes]

_names: dict[str, bytes] = {}
_NAMES_KEPT = 1024
# RFC 9110, 5.1 and 5.5: a token, and no control characters but the tab.
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\Z").match

# They say where a message ends or belong to one connection: the adapter writes them, and two opinions about where a
# message ends are what request smuggling is made of.
FRAMING = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


def field(name: Text, value: Text) -> Field:
    """Build a plain field.

    :raises ValueError: the name is no token or one of `FRAMING`, or the value holds a control character; so nobody
        smuggles a line.
    """
    wire = name.encode("latin-1") if isinstance(name, str) else name
    text = value.encode("latin-1") if isinstance(value, str) else value
    line = b"%b: %b" % (wire, text)
    if b":" in wire or _LINE(line) is None:
        raise ValueError(f"not a header field: {line!r}")
    lowered = wire.lower()
    if lowered in FRAMING:
        raise ValueError(f"{lowered.decode()} frames messages or belongs to one connection: the mesh writes it itself")
    return (lowered, text, line, 0)


def lower_name(name: Text) -> bytes:
    """Return the lower-case wire form of a field name, from a small cache."""
    if isinstance(name, bytes):
        return name.lower()
    known = _names.get(name)
    if known is None:
        known = name.lower().encode("latin-1")
        if len(_names) < _NAMES_KEPT:
            _names[name] = known
    return known


class Headers:
    """The header fields of a call or a reply, in order.

    Names are compared without case; a name may stand several times.  Values go in as `str` or `bytes` and come out as
    `str` (latin-1, so that every byte survives).  `fields` is the list itself, for code on the hot path.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Optional[list[Field]] = None) -> None:
        self.fields: list[Field] = [] if fields is None else fields

    @classmethod
    def of(cls, pairs: Iterable[tuple[Text, Text]]) -> Headers:
        """Build headers from (name, value) pairs."""
        return cls([field(name, value) for name, value in pairs])

    def get(self, name: Text, default: Optional[str] = None) -> Optional[str]:
        """Return the first value of `name`, or `default`."""
        value = self.get_bytes(lower_name(name))
        return default if value is None else value.decode("latin-1")

    def get_bytes(self, lowered: bytes) -> Optional[bytes]:
        """Return the first value of a name that is already in lower case."""
        for each in self.fields:
            if each[0] == lowered:
                return each[1]
        return None

    def get_all(self, name: Text) -> list[str]:
        """Return every value of `name`, in order."""
        lowered = lower_name(name)
        return [each[1].decode("latin-1") for each in self.fields if each[0] == lowered]

    def add(self, name: Text, value: Text) -> None:
        """Append a field, keeping those of the same name."""
        self.fields.append(field(name, value))

    def set(self, name: Text, value: Text) -> None:
        """Put one field in the place of all of that name."""
        made = field(name, value)
        self.fields = [each for each in self.fields if each[0] != made[0]]
        self.fields.append(made)

    def remove(self, name: Text) -> None:
        """Take out every field of that name."""
        lowered = lower_name(name)
        self.fields = [each for each in self.fields if each[0] != lowered]

    def copy(self) -> Headers:
        """Return headers that can be changed without changing these."""
        return Headers(self.fields.copy())

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield (name, value) pairs, names in lower case."""
        for each in self.fields:
            yield each[0].decode("latin-1"), each[1].decode("latin-1")

    def __contains__(self, name: Text) -> bool:
        return self.get_bytes(lower_name(name)) is not None

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"
