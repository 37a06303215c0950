"""What was read, as a tree in which each value knows where it stands."""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, Optional, Union

from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import scalar

Key = Union[str, int]
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Mark:
    """Where a value stands: in a file, counted from 1, and in the tree.  What came from the bus stands in line 0."""

    __slots__ = ("column", "file", "key", "line", "parent")

    def __init__(self, file: str, line: int, column: int, parent: Optional[Mark] = None, key: Key = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.parent = parent
        self.key = key

    @property
    def keys(self) -> tuple[Key, ...]:
        """The way from the top of the tree."""
        return () if self.parent is None else (*self.parent.keys, self.key)

    def problem(self, message: str, more: Iterable[Key] = ()) -> Problem:
        """Say what is wrong here, or at `more` below."""
        return Problem(self.file, self.line, self.column, path_text((*self.keys, *more)), message)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


def path_text(keys: Iterable[Key]) -> str:
    """Write a way through the tree as users do: ``listeners.edge.routes[2].timeout``."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            shown = key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
            text += f".{shown}" if text else shown
    return text


class Table(dict[str, Any]):
    """A mapping.  `names` and `marks` say where its keys and its values stand."""

    __slots__ = ("mark", "marks", "names")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.names: dict[str, Mark] = {}
        self.marks: dict[str, Mark] = {}

    def put(self, name: str, name_mark: Mark, value: Any, mark: Mark) -> None:
        """Add an entry."""
        self[name] = value
        self.names[name] = name_mark
        self.marks[name] = mark


class Items(list[Any]):
    """A list.  `marks` says where its items stand."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.marks: list[Mark] = []


def remark(value: Any, mark: Mark) -> Any:
    """Copy `value` to another place in the tree; what it holds keeps its place in the file."""
    if isinstance(value, Table):
        table = Table(mark)
        for name, each in value.items():
            inside = _moved(value.marks[name], mark)
            table.put(name, _moved(value.names[name], mark), remark(each, inside), inside)
        return table
    if isinstance(value, Items):
        items = Items(mark)
        items.marks = [_moved(each, mark) for each in value.marks]
        items.extend(map(remark, value, items.marks))
        return items
    if value is None:
        return None
    return scalar(type(value), value, str(value), mark)


def _moved(mark: Mark, parent: Mark) -> Mark:
    return Mark(mark.file, mark.line, mark.column, parent, mark.key)


def locate(tree: Any, keys: Iterable[Any]) -> Mark:
    """Return where `keys` lead to, skipping those that are no key of the tree.

    Pydantic's locations hold the tags of unions and the places of values in their long forms, which nobody wrote.
    """
    mark: Mark = tree.mark
    for key in keys:
        inside = key in tree if isinstance(tree, Table) else isinstance(tree, Items) and key in range(len(tree))
        if inside:
            mark, tree = tree.marks[key], tree[key]
    return mark
