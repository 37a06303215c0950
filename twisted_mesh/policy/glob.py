"""Patterns of keys as Redis writes them (KEYS, PSUBSCRIBE): ``*``, ``?``, ``[abc]``, ``[^a-z]``, and ``\\`` before one.

They are matched as expressions are, in time in proportion to the key; Redis's own way takes exponential time for some.
"""

from __future__ import annotations

import re

from twisted_mesh.policy.pattern import Pattern

_SPECIAL = frozenset("*?[\\")
_SET = re.compile(r"\[(\^?)((?:\\.|[^\\\]])*)\]", re.DOTALL)
_MEMBER = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)


class Glob:
    """A pattern that keys are held against, always as a whole; `literal` is what every key that matches begins with.

    :raises ValueError: it is none; one line that says what is wrong.
    """

    __slots__ = ("_pattern", "literal", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        parts: list[str] = []
        literal: list[str] = []
        begins = True
        at = 0
        while at < len(text):
            char = text[at]
            part, at = _part(text, at)
            parts.append(part)
            begins = begins and (char == "\\" or char not in _SPECIAL)
            if begins:
                literal.append(text[at - 1])
        self.literal = "".join(literal)
        self._pattern = Pattern("".join(parts))

    def __repr__(self) -> str:
        return f"<Glob {self.text!r}>"

    def matches(self, key: str) -> bool:
        """Whether the whole key matches."""
        return self._pattern.matches(key)


def _part(text: str, at: int) -> tuple[str, int]:
    """Return one part of the pattern as an expression, and where the next begins."""
    char = text[at]
    if char == "*":
        return ".*", at + 1 if not text.startswith("**", at) else _behind_stars(text, at)
    if char == "?":
        return ".", at + 1
    if char == "\\":
        if at + 1 == len(text):
            raise ValueError(f"a \\ at the end of the pattern {text!r}")
        return _literal(text[at + 1]), at + 2
    if char == "[":
        found = _SET.match(text, at)
        if found is None or not found[2]:
            raise ValueError(f"a [ that is not closed, or holds nothing, in the pattern {text!r}")
        return f"[{found[1]}{_members(found[2])}]", found.end()
    return _literal(char), at + 1


def _behind_stars(text: str, at: int) -> int:
    while text.startswith("*", at):
        at += 1
    return at


def _members(text: str) -> str:
    members = []
    for low, high in _MEMBER.findall(text):
        ends = [each[-1] for each in (low, high) if each]
        # A range that is written backwards is one for Redis, too.
        members.append("-".join(map(_literal, sorted(ends))))
    return "".join(members)


def _literal(char: str) -> str:
    return char if char.isalnum() or ord(char) > 127 or char in "\n\r\t\0" else "\\" + char
