"""Paths in the place of those that were asked for."""

from __future__ import annotations

from typing import Callable, Optional

from twisted_mesh.policy.template import Template, fill

Change = Callable[[str], str]
"""Returns the new path of one that was asked for."""


def replace_prefix(old: str, new: str) -> Change:
    """Return the change that puts `new` in the place of the prefix `old`; paths that do not begin so stay.

    ``/api`` to ``/v2`` makes ``/v2`` of ``/api`` and ``/v2/x`` of ``/api/x``; ``/api`` to ``/`` makes ``/`` and ``/x``.
    """
    old, new = old.removesuffix("/"), new.removesuffix("/")
    length = len(old)

    def change(path: str) -> str:
        rest = path[length:]
        if not path.startswith(old) or (rest and not rest.startswith("/")):
            return path
        return new + rest or "/"

    return change


def replace_path(new: str, template: Optional[str] = None) -> Change:
    """Return the change to the path `new`, whose ``{name}`` stand for the segments of what matched `template`.

    :raises ValueError: `template` is none.
    """
    if template is None:
        return lambda path: new
    segments = Template(template).segments

    def change(path: str) -> str:
        found = segments(path)
        return path if found is None else fill(new, found)

    return change
