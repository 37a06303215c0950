"""What must not be shown, since it was kept out of the configuration's files on purpose.

A value that ``${NAME}`` or ``file:PATH`` stands for is shown as it was written.  Which those are is looked up when
somebody asks: the files say which names they use, and the values are those of this process.  What the bus refers to is
not in the files; there the name of the variable tells.
"""

from __future__ import annotations

import os
import re
from typing import Callable, Iterator, Mapping

from twisted_mesh.control.load import read_files
from twisted_mesh.control.substitute import MAX_FILE, read_file
from twisted_mesh.errors import ConfigError

# Settings, header fields, parameters and variables whose values are secrets, by their names.
NAMES = r"passw|secret|token|credential|auth(?!or(?!iz))|cookie|api[-_]?key|private[-_]?key"
_SECRET = re.compile(NAMES, re.IGNORECASE)
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_FILE = re.compile(r"""(?:^|[\s"'\[{,])file:([^\s"'\[\]{},][^\n"'\[\]{},]*)""", re.MULTILINE)
# What is shorter is no secret, and stands in too many places by chance.
_SHORTEST = 4
# From this length on it is hidden inside a word too.
_UNMISTAKABLE = 8

Hide = Callable[[str], str]


class Secrets:
    """The values that the files at `path` take from elsewhere.

    One that was seen is hidden for ever: the files may have changed while what they said before is still in force.

    :param env: the values of ``${NAME}``.
    """

    def __init__(self, path: str, env: Mapping[str, str]) -> None:
        self._path = path
        self._env = env
        self._written: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Secrets of {self._path}: {len(self._written)}>"

    def hiding(self) -> Hide:
        """Return what puts into a text, for each value, what was written for it.  Reads the files, so use a thread."""
        for value, reference in self._given():
            if len(value) >= _SHORTEST:
                self._written.setdefault(value, reference)
        if not self._written:
            return str
        written = dict(self._written)
        pattern = re.compile("|".join(map(_pattern, sorted(written, key=len, reverse=True))))
        return lambda text: pattern.sub(lambda found: written[found[0]], text)

    def _given(self) -> Iterator[tuple[str, str]]:
        for name, value in self._env.items():
            if _SECRET.search(name):
                yield value, f"${{{name}}}"
        try:
            texts = read_files(self._path).texts
        except ConfigError:
            # There is no configuration any more; what is known stays hidden.
            return
        for file, text in texts:
            for name in _VARIABLE.findall(text or ""):
                yield self._env.get(name, ""), f"${{{name}}}"
            for name in _FILE.findall(text or ""):
                yield _content(os.path.join(os.path.dirname(os.path.abspath(file)), name.strip())), f"file:{name}"


def _content(path: str) -> str:
    try:
        return read_file(path, MAX_FILE).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError):
        # Then nothing of it is in the configuration either.
        return ""


def _pattern(value: str) -> str:
    inside = re.escape(value)
    return inside if len(value) >= _UNMISTAKABLE else rf"(?<![A-Za-z0-9]){inside}(?![A-Za-z0-9])"
