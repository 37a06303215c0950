"""Every source file has a test of the same path: twisted_mesh/filters/retry.py and tests/filters/test_retry.py.

Prints what is missing and ends with status 1.  A package's ``__init__.py`` that only holds a docstring needs none.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def needs_test(source: Path) -> bool:
    """Whether a file holds more than docstrings, imports and `__all__`."""
    body = ast.parse(source.read_text("utf-8")).body
    return any(not isinstance(each, (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)) for each in body)


def test_for(source: Path) -> Path:
    """The test that belongs to a source file."""
    inside = source.relative_to(ROOT / "twisted_mesh")
    name = f"test_{inside.parent.name}.py" if inside.name == "__init__.py" else f"test_{inside.name}"
    return ROOT / "tests" / inside.parent / name


def main() -> int:
    sources = sorted((ROOT / "twisted_mesh").rglob("*.py"))
    missing = [each for each in sources if needs_test(each) and not test_for(each).exists()]
    for each in missing:
        sys.stdout.write(f"{each.relative_to(ROOT)}: no test at {test_for(each).relative_to(ROOT)}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
