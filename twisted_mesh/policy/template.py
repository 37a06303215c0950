"""Paths with named segments: ``/users/{id}/orders/{order}``, ``/files/**``.

A segment is literal text, ``*`` or ``{name}`` (any one segment that is not empty); the last one may be ``**`` or
``{name=**}``, which is whatever is left, also nothing.  This is the notation of Envoy's URI templates.
"""

from __future__ import annotations

import re
from typing import Callable, Optional

_NAMED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(=\*\*|=\*)?\}", re.ASCII)
_SLOT = re.compile(r"\{([^{}]*)\}")
_PLAIN = re.compile(r"[^*{}]*")


class Template:
    """A path with named segments.

    `names` are those that it names, `literal` is the path in front of the first segment that is not literal, with its
    slash: only paths that begin so can match.

    :raises ValueError: it is none; one line that says what would be right.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self._match: Optional[Callable[[str], Optional[re.Match[str]]]] = None
        if not text.startswith("/"):
            raise ValueError(f"expected a path that starts with /, got {text!r}")
        segments = text[1:].split("/")
        self._parts = [self._segment(each, at == len(segments) - 1) for at, each in enumerate(segments)]
        first = next((at for at, each in enumerate(segments) if "*" in each or "{" in each), len(segments))
        self.literal = "/" + "".join(f"{each}/" for each in segments[:first]) if first < len(segments) else text

    def __repr__(self) -> str:
        return f"<Template {self.text!r}>"

    def matches(self, path: str) -> bool:
        """Whether the whole path matches."""
        return (self._match or self._compile())(path) is not None

    def segments(self, path: str) -> Optional[dict[str, str]]:
        """Return what the named segments are in this path; None if it does not match."""
        found = (self._match or self._compile())(path)
        return None if found is None else found.groupdict()

    def _compile(self) -> Callable[[str], Optional[re.Match[str]]]:
        # When it is first needed: it takes 100 us, and some tables have thousands.  Each segment ends at the next
        # slash, so there is one way to match a path, and it takes time in proportion to its length.
        self._match = re.compile("/" + "/".join(self._parts), re.DOTALL).fullmatch
        return self._match

    def _segment(self, segment: str, last: bool) -> str:
        named = _NAMED.fullmatch(segment)
        rest = segment == "**" or (named is not None and named[2] == "=**")
        if rest and not last:
            raise ValueError(f"expected ** as the last segment only, got {self.text!r}")
        pattern = ".*" if rest else "[^/]+"
        if named is not None:
            if named[1] in self.names:
                raise ValueError(f"{{{named[1]}}} stands twice in {self.text!r}")
            self.names.append(named[1])
            return f"(?P<{named[1]}>{pattern})"
        if segment in ("*", "**"):
            return pattern
        if _PLAIN.fullmatch(segment) is None:
            raise ValueError(
                f"expected segments that are text, *, {{name}} or, at the end, ** or {{name=**}}, got {self.text!r}"
            )
        return re.escape(segment)


def slots(text: str) -> list[str]:
    """Return the names that stand in braces in a text for `fill`."""
    return _SLOT.findall(text)


def fill(text: str, values: dict[str, str]) -> str:
    """Return `text` with each ``{name}`` replaced; a name without a value leaves nothing."""
    return _SLOT.sub(lambda found: values.get(found[1], ""), text)
