"""Values of the bus as YAML that reads back as the same values.

PyYAML takes a second for a configuration of 2,000 resources.  So what has no long lines is written here, with the
scalars as PyYAML writes them, each only once; the text is the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Mapping, Optional

import yaml

from twisted_mesh.bus.resource import Draft, Resource

# What YAML 1.2 reads as something else than text, and PyYAML, which knows 1.1, does not quote.
_NUMBER = re.compile(
    r"[-+]?(\d+|\d*\.\d+|\d+\.)([eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


# Columns of a line, after which PyYAML folds texts.
WIDTH = 110
# Longer keys have a form of their own.
LONGEST_KEY = 100
# Texts that need no quotes, if they are not taken for something else.
_BARE = re.compile(r"[A-Za-z0-9/_]([A-Za-z0-9/_.:-]*[A-Za-z0-9/_.-])?", re.ASCII)


class _Dumper(yaml.SafeDumper):
    """Writes lists inside mappings indented, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> Any:
    style = '"' if _NUMBER.fullmatch(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """Return any plain value as YAML."""
    if isinstance(value, (dict, list)) and value:
        lines: list[str] = []
        try:
            _block(value, "", "", lines)
        except _Unusual:
            # Rare enough to take its time.
            pass
        else:
            return "\n".join(lines) + "\n"
    return _with_pyyaml(value, WIDTH)


def _with_pyyaml(value: Any, width: int) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
    return text


class _Unusual(Exception):
    """A value whose form depends on where it stands."""


def _block(value: Any, first: str, rest: str, lines: list[str]) -> None:
    """Append the lines of a value; what stands before the first of them, and before all others."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            name = _scalar(key)
            if len(name) > LONGEST_KEY or key == "":
                raise _Unusual
            if isinstance(each, (dict, list, tuple)) and each:
                lines.append(f"{first}{name}:")
                _block(each, rest + "  ", rest + "  ", lines)
            else:
                _append(f"{first}{name}: ", each, lines)
            first = rest
    elif isinstance(value, (list, tuple)) and value:
        for each in value:
            _block(each, first + "- ", rest + "  ", lines)
            first = rest
    else:
        _append(first, value, lines)


def _append(before: str, value: Any, lines: list[str]) -> None:
    line = before + _scalar(value)
    if len(line) > WIDTH:
        raise _Unusual
    lines.append(line)


def _scalar(value: Any) -> str:
    if type(value) is str:
        return _word(value)
    if type(value) is int:
        return str(value)
    if value is None or type(value) is bool:
        return "null" if value is None else "true" if value else "false"
    if type(value) is float or value in ({}, [], ()):
        return _with_pyyaml(value, WIDTH).partition("\n")[0]
    raise _Unusual


@lru_cache(maxsize=4096)
def _word(text: str) -> str:
    """Return a text of one line, in quotes if need be."""
    if _BARE.fullmatch(text) and not _NUMBER.fullmatch(text):
        kinds = _Dumper.yaml_implicit_resolvers.get(text[0], ())
        if not any(pattern.match(text) for _, pattern in kinds):
            return text
    if len(text) > WIDTH or len(f"{text}.".splitlines()) > 1:
        raise _Unusual
    line, _, more = _with_pyyaml(text, len(text) * 10 + WIDTH).partition("\n")
    if more not in ("", "...\n"):
        raise _Unusual
    return line


def document(resources: Mapping[str, Any], select: Optional[Mapping[str, Any]] = None) -> str:
    """Return values by the names of resources as a file that `meshctl apply` takes."""
    whole: dict[str, Any] = {"select": dict(select)} if select else {}
    for name, value in resources.items():
        kind, _, own = name.partition("/")
        whole.setdefault(kind, {})[own] = value
    return dump(whole)


def text_of(name: str, draft: Optional[Draft]) -> str:
    """Return one resource as a file, "" for none."""
    return "" if draft is None else document({name: draft.value}, draft.select)


def draft_of(resource: Resource) -> Draft:
    """Return what would write this resource.

    :raises ValueError: its record cannot be read.
    """
    return Draft(resource.value, resource.select)
