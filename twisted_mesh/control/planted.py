"""Plain JSON values, as the bus carries them, as a tree in which each value knows where it stands."""

from __future__ import annotations

from typing import Any, Callable, Optional

from twisted_mesh.control.tree import Items, Key, Mark, Table
from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import Flag, Real, Text, Whole, scalar

# A resource of the configuration needs seven levels; the limit keeps a hostile one from the end of the stack.
MAX_DEPTH = 50
# As many values as one resource of a file could hold.
MAX_VALUES = 200_000

Substitute = Callable[[str], str]


class Planting:
    """Makes the tree of one resource.

    :param file: what stands for the file in problems, as in ``bus version 12``; there are no lines.
    :param substitute: replaces what stands for something else in a text; raises `ValueError`.
    """

    def __init__(self, file: str, substitute: Optional[Substitute] = None) -> None:
        self._file = file
        self._substitute = substitute
        self._values = 0
        self.problems: list[Problem] = []
        # What was written for each value that came from elsewhere.
        self.written: dict[str, str] = {}

    def mark(self, parent: Optional[Mark], key: Key) -> Mark:
        """Return the place called `key` in `parent`."""
        return Mark(self._file, 0, 0, parent, key)

    def value(self, value: Any, mark: Mark, depth: int = 0) -> Any:
        """Return the tree of `value`, which stands at `mark`; what is wrong with it goes to `problems`."""
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            if not self.problems:
                limit = f"nested more than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_VALUES:,} values"
                self.problems.append(mark.problem(f"{limit} deep" if depth > MAX_DEPTH else limit))
            return None
        if isinstance(value, dict):
            return self._table(value, mark, depth)
        if isinstance(value, (list, tuple)):
            return self._items(value, mark, depth)
        return self._scalar(value, mark)

    def _table(self, value: dict[Any, Any], mark: Mark, depth: int) -> Table:
        table = Table(mark)
        for key, each in value.items():
            inside = self.mark(mark, str(key))
            table.put(str(key), inside, self.value(each, inside, depth + 1), inside)
        return table

    def _items(self, value: Any, mark: Mark, depth: int) -> Items:
        items = Items(mark)
        items.marks = [self.mark(mark, index) for index in range(len(value))]
        items.extend(self.value(each, inside, depth + 1) for each, inside in zip(value, items.marks, strict=True))
        return items

    def _scalar(self, value: Any, mark: Mark) -> Any:
        if isinstance(value, str):
            return scalar(Text, self._substituted(value, mark), value, mark)
        if isinstance(value, bool):
            return scalar(Flag, "true" if value else "false", "", mark)
        if isinstance(value, int):
            return scalar(Whole, value, str(value), mark)
        return scalar(Real, value, str(value), mark) if isinstance(value, float) else None

    def _substituted(self, text: str, mark: Mark) -> str:
        if self._substitute is None or not ("${" in text or text.startswith("file:")):
            return text
        try:
            value = self._substitute(text)
        except ValueError as error:
            self.problems.append(mark.problem(str(error)))
            return text
        self.written[value] = text
        return value
