r"""Regular expressions whose matching takes time in proportion to the text, whatever the expression.

Python's own ``re`` tries one way after the other, and some expressions have more ways than a client needs to stop the
process with one request (``(a+)+b``).  Here an expression becomes an automaton of positions (Glushkov, "The abstract
theory of automata", 1961) that follows all ways at once, and whose states are made when they are first reached, as RE2
does.  A text that looks like earlier ones costs one look into a dict for each character.

The syntax is what can be matched so: ``.``, ``[a-z]``, ``[^/]``, ``\d \w \s`` and their opposites, ``( )``, ``(?: )``,
``|``, ``* + ? {2} {2,} {2,5}``, and ``(?i)`` at the front.  It is always the whole text that matches; ``^`` at the
front and ``$`` at the end change nothing.  Neither back-references nor looking around are known.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Union

LONGEST = 1000
# Characters that the expression can stand at, its repetitions written out.
MOST_POSITIONS = 250
MOST_REPEATS = 100
_DEEPEST = 20
# Steps that are kept; beyond, all are forgotten and made anew.
_MOST_STEPS = 10_000

_DIGITS = frozenset("0123456789")
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_SIGNS: dict[str, tuple[int, Optional[int]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}


class _Set(NamedTuple):
    """One character: one of these, or none of these."""

    negated: bool
    chars: frozenset[str]


class _Sequence(NamedTuple):
    parts: list[_Node]


class _Choice(NamedTuple):
    ways: list[_Node]


class _Repeat(NamedTuple):
    part: _Node
    least: int
    most: Optional[int]


_Node = Union[_Set, _Sequence, _Choice, _Repeat]


class Pattern:
    """An expression that texts are held against, always as a whole.

    :raises ValueError: it is none, or uses what is not offered; one line that says what.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        node = _Parser(text).parse()
        if _size(node) > MOST_POSITIONS:
            raise ValueError(f"the expression is too large; repetitions count as if they were written out: {text!r}")
        places = _Places()
        whole = places.add(node)
        self._sets = places.sets
        self._follow = places.follow
        self._last = frozenset(whole.last)
        self._states: dict[frozenset[int], _State] = {}
        self._steps = 0
        self._start = _State(frozenset(whole.first), whole.empty)

    def __repr__(self) -> str:
        return f"<Pattern {self.text!r}>"

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        state = self._start
        for char in text:
            state = state.steps.get(char) or self._step(state, char)
            if not state.next and not state.accepts:
                return False
        return state.accepts

    def _step(self, state: _State, char: str) -> _State:
        sets, follow = self._sets, self._follow
        taken = frozenset(at for at in state.next if (char in sets[at].chars) is not sets[at].negated)
        after = self._states.get(taken)
        if after is None:
            reached = frozenset(each for at in taken for each in follow[at])
            after = self._states[taken] = _State(reached, not taken.isdisjoint(self._last))
        if self._steps >= _MOST_STEPS:
            self._forget()
        self._steps += 1
        state.steps[char] = after
        return after

    def _forget(self) -> None:
        for each in (self._start, *self._states.values()):
            each.steps = {}
        self._states = {}
        self._steps = 0


class _State:
    """Which characters of the expression may come next, and whether it may end here."""

    __slots__ = ("accepts", "next", "steps")

    def __init__(self, following: frozenset[int], accepts: bool) -> None:
        self.next = following
        self.accepts = accepts
        self.steps: dict[str, _State] = {}


class _Ends(NamedTuple):
    """The places at which a part of an expression can begin and end, and whether it can be empty."""

    empty: bool
    first: set[int]
    last: set[int]


class _Places:
    """Gives each character of an expression a place, and notes which places may follow which."""

    def __init__(self) -> None:
        self.sets: list[_Set] = []
        self.follow: list[set[int]] = []

    def add(self, node: _Node) -> _Ends:
        if isinstance(node, _Set):
            self.sets.append(node)
            self.follow.append(set())
            at = len(self.sets) - 1
            return _Ends(False, {at}, {at})
        if isinstance(node, _Choice):
            ways = [self.add(each) for each in node.ways]
            return _Ends(
                any(each.empty for each in ways),
                {at for each in ways for at in each.first},
                {at for each in ways for at in each.last},
            )
        if isinstance(node, _Sequence):
            return self._one_by_one(self.add(each) for each in node.parts)
        return self._repeated(node)

    def _one_by_one(self, parts: Iterable[_Ends]) -> _Ends:
        whole = _Ends(True, set(), set())
        for each in parts:
            for at in whole.last:
                self.follow[at] |= each.first
            first = whole.first | each.first if whole.empty else whole.first
            last = whole.last | each.last if each.empty else each.last
            whole = _Ends(whole.empty and each.empty, first, last)
        return whole

    def _repeated(self, node: _Repeat) -> _Ends:
        if node.most is None:
            parts = [self.add(node.part) for _ in range(max(node.least, 1))]
            for at in parts[-1].last:
                self.follow[at] |= parts[-1].first
        else:
            parts = [self.add(node.part) for _ in range(node.most)]
        return self._one_by_one(
            each if at < node.least else _Ends(True, each.first, each.last) for at, each in enumerate(parts)
        )


def _size(node: _Node) -> int:
    if isinstance(node, _Set):
        return 1
    if isinstance(node, _Repeat):
        return _size(node.part) * (max(node.least, 1) if node.most is None else node.most)
    return sum(_size(each) for each in (node.parts if isinstance(node, _Sequence) else node.ways))


class _Parser:
    """Reads an expression, one character after the other."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"the expression is longer than {LONGEST} characters")
        self._any_case = text.startswith("(?i)")
        self._text = text[4:] if self._any_case else text
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
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

    def _choice(self) -> _Node:
        ways = [self._sequence()]
        while self._skip("|"):
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else _Choice(ways)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._peek() == "$" and self._at == len(self._text) - 1:
                self._at += 1
                break
            parts.append(self._repeats(self._atom()))
        return _Sequence(parts)

    def _atom(self) -> _Node:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._one_of()
        if char == ".":
            return _Set(True, frozenset())
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            raise self._wrong(f"a {char} that repeats nothing")
        if char in "^$":
            raise self._wrong(f"a {char} in the middle (a text always matches as a whole)")
        return self._set(False, {char})

    def _set(self, negated: bool, chars: Iterable[str]) -> _Set:
        found = set(chars)
        if self._any_case:
            found |= {other for each in found for other in (each.lower(), each.upper()) if len(other) == 1}
        return _Set(negated, frozenset(found))

    def _group(self) -> _Node:
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

    def _escape(self) -> _Set:
        char = self._take()
        if char.lower() in _CLASSES and char:
            return _Set(char.isupper(), _CLASSES[char.lower()])
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

    def _one_of(self) -> _Set:
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

    def _repeats(self, node: _Node) -> _Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        # Whether as much or as little as can be is taken makes no difference for a whole text.
        self._skip("?")
        if self._peek() and self._peek() in "*+{":
            raise self._wrong("a repetition of a repetition (put the inner one into a group)")
        return _Repeat(node, *bounds)

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
