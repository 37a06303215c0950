"""What stands for something else in a configuration: ``${NAME}`` from the environment and ``file:PATH``."""

from __future__ import annotations

import os
import re
import stat
from typing import Mapping

from twisted_mesh.control.nearest import did_you_mean
from twisted_mesh.model.text import describe

# A certificate chain has a few KiB; whatever is larger than this is not a value of a setting.
MAX_FILE = 1 << 20
_PART = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Substitution:
    """Puts values in the place of ``${NAME}`` and ``file:PATH`` in the texts of one file.

    ``$${`` stands for ``${`` itself.  ``file:PATH`` is all of a text or nothing; a relative path starts at the
    configuration's directory, and one line end at the end of the file is dropped.
    """

    def __init__(self, env: Mapping[str, str], directory: str) -> None:
        self._env = env
        self._directory = directory

    def __call__(self, text: str) -> str:
        """Return what `text` stands for.

        :raises ValueError: the environment has no such variable, or the file cannot be read.
        """
        whole = _PART.sub(self._variable, text)
        # The written text decides, so that a variable's value is never taken for the name of a file.
        return self._file(whole[5:]) if text.startswith("file:") and len(text) > 5 and text[5] != " " else whole

    def _variable(self, found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, end = found[1], found[2]
        if not end or _NAME.fullmatch(name) is None:
            raise ValueError(f"expected ${{NAME}} (write $${{ for ${{ itself), got {describe(found[0])}")
        if name not in self._env:
            raise ValueError(f"the environment has no variable {name}{did_you_mean(name, self._env)}")
        return self._env[name]

    def _file(self, name: str) -> str:
        path = os.path.join(self._directory, name)
        try:
            text = read_file(path, MAX_FILE).decode("utf-8")
        except OSError as error:
            raise ValueError(f"cannot read {describe(path)}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"cannot read {describe(path)}: it is not UTF-8") from error
        return text.removesuffix("\n").removesuffix("\r")


def read_file(path: str, limit: int, regular: bool = True) -> bytes:
    """Return what a file holds.

    :param regular: refuse anything but a regular file, which might block or never end.
    :raises OSError: it cannot be read, or is larger than `limit` bytes.
    """
    try:
        with open(path, "rb", opener=_open_at_once if regular else None) as file:
            if regular and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(0, "not a regular file")
            data = file.read(limit + 1)
    except ValueError as error:
        raise OSError(0, f"not a path: {error}") from error
    if len(data) > limit:
        raise OSError(0, f"larger than {limit:,} bytes")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
