"""The lines in which two texts differ, also where the texts have ten thousand lines.

`difflib` compares long texts of few different lines, as tables of routes are, in the time of their product.  So in long
texts the lines that each has once are matched first, as patience diff does (Bram Cohen, 2003): they part the texts into
pieces that are short.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from typing import Iterator, Sequence

# Lines that are shown round those that differ.
AROUND = 3
# Lines of one text times lines of the other that are compared as they are.
SHORT = 100_000

Pair = tuple[int, int]


def unified(before: Sequence[str], after: Sequence[str], old: str, new: str) -> Iterator[str]:
    """Yield a unified diff of lines without ends; nothing if they are equal.

    :param old: what the text before is called, `new` the one after.
    """
    head = [f"--- {old}", f"+++ {new}"]
    for group in _Matcher(None, before, after).get_grouped_opcodes(AROUND):
        yield from head
        head = []
        (_, a_from, _, b_from, _), (_, _, a_to, _, b_to) = group[0], group[-1]
        yield f"@@ -{_range(a_from, a_to)} +{_range(b_from, b_to)} @@"
        for tag, a_low, a_high, b_low, b_high in group:
            if tag == "equal":
                yield from (f" {each}" for each in before[a_low:a_high])
                continue
            yield from (f"-{each}" for each in before[a_low:a_high])
            yield from (f"+{each}" for each in after[b_low:b_high])


def _range(low: int, high: int) -> str:
    """Return lines as unified diffs name them: the first, counted from 1, and how many."""
    length = high - low
    if length == 1:
        return str(low + 1)
    return f"{low + 1 if length else low},{length}"


class _Matcher(difflib.SequenceMatcher[str]):
    """Groups what `_matches` finds."""

    def __init__(self, junk: None, before: Sequence[str], after: Sequence[str]) -> None:
        super().__init__(junk, before, after, autojunk=False)
        self._texts = before, after

    def get_matching_blocks(self) -> list[difflib.Match]:
        """Return what is equal in both, in order, and an empty block at the end."""
        blocks: list[difflib.Match] = []
        before, after = self._texts
        for at, (a, b, size) in enumerate([*_matches(before, after), (len(before), len(after), 0)]):
            if at and size and a == blocks[-1].a + blocks[-1].size and b == blocks[-1].b + blocks[-1].size:
                blocks[-1] = difflib.Match(blocks[-1].a, blocks[-1].b, blocks[-1].size + size)
            else:
                blocks.append(difflib.Match(a, b, size))
        return blocks


def _matches(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield where the same lines stand in both, and how many."""
    # What is still to be compared, the first on top.
    left = [(0, len(a), 0, len(b))]
    while left:
        a_low, a_high, b_low, b_high = left.pop()
        if (a_high - a_low) * (b_high - b_low) <= SHORT:
            yield from _compared(a, b, a_low, a_high, b_low, b_high)
            continue
        start_a = a_low
        while a_low < a_high and b_low < b_high and a[a_low] == b[b_low]:
            a_low += 1
            b_low += 1
        if a_low > start_a:
            yield start_a, b_low - (a_low - start_a), a_low - start_a
        if a_low == a_high or b_low == b_high:
            continue
        anchors = _anchors(a[a_low:a_high], b[b_low:b_high])
        if not anchors:
            yield from _compared(a, b, a_low, a_high, b_low, b_high)
            continue
        starts = [(0, 0), *anchors]
        ends = [*anchors, (a_high - a_low, b_high - b_low)]
        left.extend(
            (a_low + a_from, a_low + a_to, b_low + b_from, b_low + b_to)
            for (a_from, b_from), (a_to, b_to) in zip(reversed(starts), reversed(ends), strict=True)
        )


def _compared(
    a: Sequence[str], b: Sequence[str], a_low: int, a_high: int, b_low: int, b_high: int
) -> Iterator[tuple[int, int, int]]:
    """Yield the same for parts of both; in long ones what is frequent is left out, so that they take no longer."""
    for match in difflib.SequenceMatcher(None, a[a_low:a_high], b[b_low:b_high]).get_matching_blocks():
        if match.size:
            yield a_low + match.a, b_low + match.b, match.size


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[Pair]:
    """Return where lines stand that both have once, as many of them as are in the same order in both."""
    once = _once(b)
    pairs = [(at, once[line]) for line, at in _once(a).items() if line in once]
    # The longest ascending run: for each length the pair that it ends with at the lowest, and what comes before each.
    tops: list[int] = []
    ends: list[int] = []
    links: list[int] = []
    for index, (_, place) in enumerate(pairs):
        length = bisect_left(tops, place)
        links.append(ends[length - 1] if length else -1)
        if length == len(tops):
            tops.append(place)
            ends.append(index)
        else:
            tops[length], ends[length] = place, index
    found = []
    at = ends[-1] if ends else -1
    while at >= 0:
        found.append(pairs[at])
        at = links[at]
    return found[::-1]


def _once(lines: Sequence[str]) -> dict[str, int]:
    """Return the lines that occur once, and where."""
    found: dict[str, int] = {}
    for at, line in enumerate(lines):
        found[line] = -1 if line in found else at
    return {line: at for line, at in found.items() if at >= 0}
