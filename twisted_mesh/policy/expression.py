r"""The syntax of expressions: text in, a tree out.  `Pattern` makes an automaton of it."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Union

LONGEST = 1000
MOST_REPEATS = 100
_DEEPEST = 20

_DIGITS = frozenset("0123456789")
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_SIGNS: dict[str, tuple[int, Optional[int]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


class Set(NamedTuple):
    """One character: one of these, or none of these."""

    negated: bool
    chars: frozenset[str]


class Sequence(NamedTuple):
    parts: list[Node]


class Choice(NamedTuple):
    ways: list[Node]


class Repeat(NamedTuple):
    part: Node
    least: int
    most: Optional[int]


Node = Union[Set, Sequence, Choice, Repeat]


def parse(text: str) -> Node:
    """Return the tree of an expression.

    :raises ValueError: it is none, or uses what is not offered; one line that says what.
    """
    return _Parser(text).parse()


def size(node: Node) -> int:
    """Return how many characters an expression stands for, its repetitions written out."""
    if isinstance(node, Set):
        return 1
    if isinstance(node, Repeat):
        return size(node.part) * (max(node.least, 1) if node.most is None else node.most)
    return sum(size(each) for each in (node.parts if isinstance(node, Sequence) else node.ways))


class _Parser:
    """Reads an expression, one character after the other."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"the expression is longer than {LONGEST} characters")
        self._any_case = text.startswith("(?i)")
        self._text = text[4:] if self._any_case else text
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        self._skip("^")
        node = self._choice()
        if self._at < len(self._text):
            raise self._wrong("a ) that closes nothing")
        return node

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"{what} in the expression {self._text!r}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _skip(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _choice(self) -> Node:
        ways = [self._sequence()]
        while self._skip("|"):
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else Choice(ways)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek() == "$" and self._at == len(self._text) - 1:
                self._at += 1
                break
            parts.append(self._repeats(self._atom()))
        return Sequence(parts)

    def _atom(self) -> Node:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._one_of()
        if char == ".":
            return Set(True, frozenset())
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            raise self._wrong(f"a {char} that repeats nothing")
        if char in "^$":
            raise self._wrong(f"a {char} in the middle (a text always matches as a whole)")
        return self._set(False, {char})

    def _set(self, negated: bool, chars: Iterable[str]) -> Set:
        found = set(chars)
        if self._any_case:
            found |= {other for each in found for other in (each.lower(), each.upper()) if len(other) == 1}
        return Set(negated, frozenset(found))

    def _group(self) -> Node:
        if self._skip("?") and not self._skip(":"):
            raise self._wrong("(? that is not (?: (nothing else can be matched in bounded time)")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"more than {_DEEPEST} groups within each other")
        node = self._choice()
        self._depth -= 1
        if not self._skip(")"):
            raise self._wrong("a ( that is not closed")
        return node

    def _escape(self) -> Set:
        char = self._take()
        if char.lower() in _CLASSES and char:
            return Set(char.isupper(), _CLASSES[char.lower()])
        return self._set(False, {self._literal(char)})

    def _literal(self, char: str) -> str:
        """Return the character that a backslash and this one stand for."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if not char:
            raise self._wrong("a \\ at the end")
        if char.isdigit():
            raise self._wrong(f"\\{char} (back-references cannot be matched in bounded time)")
        if char.isalpha():
            raise self._wrong(f"\\{char}, which is not known,")
        return char

    def _one_of(self) -> Set:
        negated = self._skip("^")
        chars: set[str] = set()
        begun = self._at
        while self._at == begun or self._peek() != "]":
            low = self._member()
            if isinstance(low, frozenset):
                chars |= low
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                chars |= self._range(low, self._member())
            else:
                chars.add(low)
        self._at += 1
        return self._set(negated, chars)

    def _member(self) -> Union[str, frozenset[str]]:
        char = self._take()
        if not char:
            raise self._wrong("a [ that is not closed")
        if char != "\\":
            return char
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        return self._literal(char)

    def _range(self, low: str, high: Union[str, frozenset[str]]) -> set[str]:
        if not isinstance(high, str) or not 0 <= ord(high) - ord(low) < 256:
            raise self._wrong(f"a range from {low} that leads nowhere")
        return set(map(chr, range(ord(low), ord(high) + 1)))

    def _repeats(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        # Whether as much or as little as can be is taken makes no difference for a whole text.
        self._skip("?")
        if self._peek() and self._peek() in "*+{":
            raise self._wrong("a repetition of a repetition (put the inner one into a group)")
        return Repeat(node, *bounds)

    def _bounds(self) -> Optional[tuple[int, Optional[int]]]:
        """Read how often what stands before may come: at least, at most; None if nothing is said."""
        for sign, bounds in _SIGNS.items():
            if self._skip(sign):
                return bounds
        return self._written() if self._skip("{") else None

    def _written(self) -> tuple[int, Optional[int]]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at : end].partition(",") if end >= 0 else ("", "", "")
        if not _whole(low) or (high and not _whole(high)):
            raise self._wrong("a { that is not {2}, {2,} or {2,5}")
        self._at = end + 1
        least = int(low)
        most = None if comma and not high else int(high or low)
        if least > MOST_REPEATS or (most is not None and not least <= most <= MOST_REPEATS):
            raise self._wrong(f"a repetition that is not from small to large, or beyond {MOST_REPEATS},")
        return least, most


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
