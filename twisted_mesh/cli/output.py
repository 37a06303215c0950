"""How commands print: aligned columns for people, JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Callable, Iterable, Optional, Sequence

from twisted_mesh.errors import ConfigError


def show(
    arguments: argparse.Namespace, value: Any, text: Callable[[], str], names: Optional[Sequence[str]] = None
) -> None:
    """Print `value` as JSON or `names` as lines where that was asked for, else what `text` returns."""
    if arguments.output == "json":
        print(json.dumps(value, indent=2, ensure_ascii=False))
    elif arguments.output == "names" and names is not None:
        print("".join(f"{plain(each)}\n" for each in names), end="")
    elif lines := text():
        print(lines)


def problems_of(error: ConfigError) -> list[dict[str, Any]]:
    """Return the problems of a configuration for programs."""
    return [
        {"file": each.file, "line": each.line, "column": each.column, "path": each.path, "message": each.message}
        for each in error.problems
    ]


def complain(line: str) -> None:
    """Print a line for people, beside what the command is asked for."""
    sys.stderr.write(f"meshctl: {line}\n")
    sys.stderr.flush()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return the rows in columns under their heads."""
    cells = [list(head), *([plain(str(each)) or "-" for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(each.ljust(width) for each, width in zip(row, widths)).rstrip() for row in cells)


def plain(text: str) -> str:
    """Return `text` without what would move a terminal's cursor or break a line: others wrote what is on the bus."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def labels_text(labels: dict[str, str]) -> str:
    """Return labels as they are given on the command line."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


def age(seconds: float) -> str:
    """Return a time span in one unit, rounded down: 5s, 3m, 2h, 4d."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def counted(number: int, what: str) -> str:
    """Return ``1 change`` or ``2 changes``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
