"""Values of the bus as YAML that reads back as the same values."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

import yaml

from twisted_mesh.bus.resource import Draft, Resource

# What YAML 1.2 reads as something else than text, and PyYAML, which knows 1.1, does not quote.
_NUMBER = re.compile(
    r"[-+]?(\d+|\d*\.\d+|\d+\.)([eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


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
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


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
