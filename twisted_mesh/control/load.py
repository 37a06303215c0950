"""Files to a `Config`: read, merge, validate, check across."""

from __future__ import annotations

import os
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from pydantic_core import ValidationError

from twisted_mesh.control.conflicts import conflicts
from twisted_mesh.control.crosscheck import CrossCheck
from twisted_mesh.control.explain import mark_of, problems_of
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.references import missing_references
from twisted_mesh.control.settings import SettingsReader
from twisted_mesh.control.substitute import Substitution, read_file
from twisted_mesh.control.tree import Items, Key, Mark, Table, locate
from twisted_mesh.control.yamlfile import read_yaml
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config
from twisted_mesh.model.scalars import Text, scalar
from twisted_mesh.model.text import describe

# A configuration of 2,000 resources has half a MiB.
MAX_FILE = 4 << 20
MAX_FILES = 1000
_ENDINGS = (".yaml", ".yml")
_NAMED = ("listeners", "routes", "clusters")
# Settings without which a listener, a route or a cluster is none, or another one.
_ESSENTIAL = ("bind", "protocol", "routes", "to", "redirect", "reply", "endpoints")

Keys = tuple[Key, ...]


def load(path: str, env: Mapping[str, str], *, look: bool = False) -> Config:
    """Return the configuration in a YAML file, or in all YAML files of a directory.

    :param env: the values of ``${NAME}``.
    :param look: look at the certificates that it names as well, as a sidecar does when it applies it.
    :raises ConfigError: there is none, or it is refused: with all its problems, in file order.
    """
    reading = _reading(read_files(path), env)
    config = reading.config()
    if look:
        # Late: it needs all that speaks TLS.
        from twisted_mesh.control.certificates import unusable

        problems = [locate(reading.tree, keys).problem(message) for keys, message in unusable(config)]
        if problems:
            raise ConfigError(problems)
    return config


class Files(NamedTuple):
    """What the files of a configuration hold: name and text of each, None where it could not be read.

    `admin` is the address of the admin that goes over what they say.
    """

    path: str
    texts: tuple[tuple[str, Optional[str]], ...]
    problems: tuple[Problem, ...] = ()
    admin: Optional[str] = None


def read_files(path: str, admin: Optional[str] = None) -> Files:
    """Return what a YAML file holds, or all YAML files of a directory.

    :param admin: the address of the admin where it is said elsewhere: the files' own takes no place then.
    :raises ConfigError: there is none.
    """
    problems: list[Problem] = []
    texts = tuple((file, _text(file, file == path, problems)) for file in _files(path))
    return Files(path, texts, tuple(problems), admin)


def tree_of(files: Files, env: Optional[Mapping[str, str]]) -> Table:
    """Return the tree that files make together; whether it is right, `checked` says.

    :param env: the values of ``${NAME}``; without it, texts are taken as they are written.
    :raises ConfigError: something cannot be read; with all problems that are seen without it.
    """
    reading = _reading(files, env)
    if reading.problems:
        reading.config()
    return reading.tree


def checked(tree: Table) -> Config:
    """Return the configuration that a tree holds.  What is refused is taken out of the tree.

    :raises ConfigError: there are problems.
    """
    reading = _Reading(tree.mark.file)
    reading.tree = tree
    return reading.config()


def _reading(files: Files, env: Optional[Mapping[str, str]]) -> _Reading:
    reading = _Reading(files.path)
    reading.problems += files.problems
    for file, text in files.texts:
        substitute = Substitution(env, os.path.dirname(os.path.abspath(file))) if env is not None else None
        reading.add(text, file, substitute)
    if files.admin is not None:
        mark = Mark("--admin", 0, 0, reading.tree.mark, "admin")
        reading.tree.put("admin", mark, scalar(Text, files.admin, files.admin, mark), mark)
    return reading


def load_text(text: str, env: Optional[Mapping[str, str]] = None, file: str = "<text>") -> Config:
    """Return the configuration that `text` holds.

    :param env: the values of ``${NAME}``; without it, texts are taken as they are written.
    :raises ConfigError: it is refused.
    """
    reading = _Reading(file)
    reading.add(text, file, Substitution(env, os.getcwd()) if env is not None else None)
    return reading.config()


def _files(path: str) -> list[str]:
    """Return the files to read for `path`."""
    if not os.path.isdir(path):
        return [path]
    try:
        names = sorted(each for each in os.listdir(path) if each.endswith(_ENDINGS) and not each.startswith("."))
    except OSError as error:
        raise ConfigError([Problem(path, 0, 0, "", f"cannot read the directory: {error.strerror}")]) from error
    if not names:
        raise ConfigError([Problem(path, 0, 0, "", f"no file here ends with {' or '.join(_ENDINGS)}")])
    if len(names) > MAX_FILES:
        raise ConfigError([Problem(path, 0, 0, "", f"more than {MAX_FILES:,} files")])
    return [os.path.join(path, each) for each in names]


def _text(file: str, named: bool, problems: list[Problem]) -> Optional[str]:
    """Return the text of a file; None if it cannot be read."""
    try:
        # A file that the user names may be a pipe, as a shell makes for <(...).
        data = read_file(file, MAX_FILE, regular=not named)
        return data.decode("utf-8-sig")
    except OSError as error:
        problems.append(Problem(file, 0, 0, "", f"cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        problems.append(Problem(file, before.count(b"\n") + 1, column, "", "not UTF-8"))
    return None


class _Reading:
    """The files of one configuration on their way to a `Config`."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self.tree = Table(Mark(name, 1, 1))
        # Whether every file could be read to its end; what is missing from the rest may stand there.
        self._whole = True

    def add(self, text: Optional[str], file: str, substitute: Optional[Substitution]) -> None:
        """Merge a file; a name may be given in one of them only."""
        before = len(self.problems)
        tree = read_yaml(text, file, self.problems, substitute) if text is not None else None
        if isinstance(tree, Table):
            self._merge(self.tree, tree, _NAMED)
        elif tree is not None:
            self.problems.append(tree.mark.problem(f"expected names with values at the top, got {describe(tree)}"))
        elif text is None or len(self.problems) > before:
            self._whole = False

    def _merge(self, into: Table, table: Table, mergeable: Sequence[str]) -> None:
        for key, value in table.items():
            if key not in into:
                into.put(key, table.names[key], value, table.marks[key])
            elif key in mergeable and isinstance(value, Table) and isinstance(into[key], Table):
                self._merge(into[key], value, ())
            else:
                self.problems.append(table.names[key].problem(f"given twice; first at {into.names[key]}"))

    def config(self) -> Config:
        """Validate the whole.

        :raises ConfigError: there are problems.
        """
        reader = SettingsReader(find_filter)
        broken: set[Keys] = set()
        # Looked for before what is refused is taken out of the tree.
        between = [*missing_references(self.tree), *conflicts(self.tree)]
        config = self._validated(reader, broken)
        if self._whole:
            self._complain(between)
        if config is not None and self._whole:
            self._complain(CrossCheck(config, self.tree, reader.plugins, broken).problems())
        if self.problems or config is None:
            raise ConfigError(sorted(set(self.problems)))
        return config

    def _complain(self, problems: list[Problem]) -> None:
        """Add problems, except where there is one already: it is the cause, or says the same."""
        there = {(each.file, each.line, each.column) for each in self.problems}
        self.problems += [each for each in problems if (each.file, each.line, each.column) not in there]

    def _validated(self, reader: SettingsReader, broken: set[Keys]) -> Optional[Config]:
        """Return the configuration; without what is refused, or None where too little would be left.

        :param broken: takes the places of routes that are refused; something else stands in the result there.
        """
        said = False
        # Without the settings that are refused; if that cannot be, without all of what they belong to.
        for closely in (True, False):
            try:
                return _validate(self.tree, reader)
            except ValidationError as error:
                refused = [mark_of(each, self.tree).keys for each in error.errors(include_url=False)]
                if not said:
                    self._complain(problems_of(error, Config.__pydantic_core_schema__, self.tree))
            said = True
            broken.update(_take_out(self.tree, keys, closely) for keys in refused)
        try:
            return _validate(self.tree, reader)
        except ValidationError:
            return None


def _validate(tree: Table, reader: SettingsReader) -> Config:
    return Config.model_validate(tree, context={"read_settings": reader})


def _take_out(tree: Table, keys: Keys, closely: bool) -> Keys:
    """Take what is refused out of the tree, so that the rest can be checked; returns its place.

    That is a route (something else takes its place, so that the others keep theirs), a whole listener, routing table
    or cluster, or another value at the top; closely, where the rest means the same without it, a setting of those.
    """
    length = 2 if keys[:1] and keys[0] in _NAMED else 1
    if (keys[:1] == ("listeners",) and keys[2:3] == ("routes",)) or keys[:1] == ("routes",):
        is_route = [isinstance(each, int) for each in keys]
        length = is_route.index(True) + 1 if True in is_route else length
    if closely and length > 1 and length < len(keys) and keys[length] not in _ESSENTIAL:
        length += 1
    place = keys[:length]
    parent: Any = tree
    for key in place[:-1]:
        inside = key in parent if isinstance(parent, Table) else isinstance(parent, Items) and key in range(len(parent))
        if not inside:
            return place
        parent = parent[key]
    if isinstance(parent, Items) and place:
        parent[int(place[-1])] = {"reply": {}}
    elif isinstance(parent, Table) and place:
        parent.pop(str(place[-1]), None)
    return place
