"""A line of those who wait, bounded, in which what matters more stands in front."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, Iterator, Optional, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Place(Generic[T]):
    """What became of somebody who wanted to wait: whether they do, and who had to go for them."""

    waits: bool
    displaced: Optional[T] = None


class Line(Generic[T]):
    """Higher priorities first, and those of one in the order in which they came.

    Where too many wait, the one that came last of the lowest priority makes room for somebody with a higher one.
    `count` is how many wait, an attribute as it is looked at for every call.
    """

    __slots__ = ("_lines", "_priorities", "count")

    def __init__(self) -> None:
        self._lines: dict[int, deque[T]] = {}
        # The highest first.
        self._priorities: list[int] = []
        self.count = 0

    def __repr__(self) -> str:
        return f"<Line of {self.count}>"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        for priority in self._priorities:
            yield from self._lines[priority]

    def join(self, who: T, priority: int, most: int) -> Place[T]:
        """Have somebody wait, where `most` may."""
        displaced = None
        if self.count >= most:
            lowest = next((each for each in reversed(self._priorities) if self._lines[each]), priority)
            if lowest >= priority:
                return Place(False)
            displaced = self._lines[lowest].pop()
            self.count -= 1
        line = self._lines.get(priority)
        if line is None:
            line = self._lines[priority] = deque()
            self._priorities = sorted(self._lines, reverse=True)
        line.append(who)
        self.count += 1
        return Place(True, displaced)

    def first(self) -> T:
        """Take the first out of the line.

        :raises IndexError: nobody waits.
        """
        for priority in self._priorities:
            if self._lines[priority]:
                self.count -= 1
                return self._lines[priority].popleft()
        raise IndexError("nobody waits")

    def leave(self, who: T, priority: int) -> bool:
        """Take somebody out; returns whether they waited."""
        line = self._lines.get(priority, ())
        if who not in line:
            return False
        assert isinstance(line, deque)
        line.remove(who)
        self.count -= 1
        return True
