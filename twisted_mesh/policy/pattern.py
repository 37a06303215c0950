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

from typing import Iterable, NamedTuple

from twisted_mesh.policy.expression import Choice, Node, Repeat, Sequence, Set, parse, size

# Characters that the expression can stand at, its repetitions written out.
MOST_POSITIONS = 250
# Steps that are kept; beyond, all are forgotten and made anew.
_MOST_STEPS = 10_000


class Pattern:
    """An expression that texts are held against, always as a whole.

    :raises ValueError: it is none, or uses what is not offered; one line that says what.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        node = parse(text)
        if size(node) > MOST_POSITIONS:
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
        self.sets: list[Set] = []
        self.follow: list[set[int]] = []

    def add(self, node: Node) -> _Ends:
        if isinstance(node, Set):
            self.sets.append(node)
            self.follow.append(set())
            at = len(self.sets) - 1
            return _Ends(False, {at}, {at})
        if isinstance(node, Choice):
            ways = [self.add(each) for each in node.ways]
            return _Ends(
                any(each.empty for each in ways),
                {at for each in ways for at in each.first},
                {at for each in ways for at in each.last},
            )
        if isinstance(node, Sequence):
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

    def _repeated(self, node: Repeat) -> _Ends:
        if node.most is None:
            parts = [self.add(node.part) for _ in range(max(node.least, 1))]
            for at in parts[-1].last:
                self.follow[at] |= parts[-1].first
        else:
            parts = [self.add(node.part) for _ in range(node.most)]
        return self._one_by_one(
            each if at < node.least else _Ends(True, each.first, each.last) for at, each in enumerate(parts)
        )
