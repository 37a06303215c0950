"""The reference of the configuration as Markdown, made from the models so that it cannot drift from them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields, is_dataclass
from inspect import getdoc
from typing import Any, Iterator, get_args, get_type_hints

from pydantic import TypeAdapter

import twisted_mesh
from twisted_mesh.control.found import all_filters
from twisted_mesh.control.schema import Generator
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.model import Config, Duration, Rate, Size
from twisted_mesh.model.address import Address
from twisted_mesh.model.base import either
from twisted_mesh.model.cluster import ADDRESS
from twisted_mesh.model.fields import StatusRange
from twisted_mesh.model.units import Interval

_BUILT_IN = os.path.join(os.path.dirname(twisted_mesh.__file__), "filters")

INTRODUCTION = """\
# Configuration

<!-- Made by `make docs` from the models in twisted_mesh/model; change those. -->

A configuration is a YAML file, or a directory of them, which are merged; a name may be given in one of them only. \
[config/complete.yaml](../config/complete.yaml) says everything that can be said, with comments, and the small files \
beside it show one thing each. `meshctl check PATH` checks a configuration and says all that is wrong with it at once, \
each problem with its file, line and column. `meshctl schema` prints a JSON Schema that editors use to complete and \
check what is written: save it, and begin the file with `# yaml-language-server: $schema=PATH`.

What is written is YAML 1.2: `on`, `off`, `no` and `22:22` are text, names given twice are errors, and numbers are \
taken as they stand where text is wanted (`version: 1.10` stays 1.10). Anchors and aliases may be used; merge keys \
(`<<`) belong to YAML 1.1 and are not known.

Kinds of values:

| kind | written | |
|---|---|---|
| duration | `250ms`, `2s`, `1m`, `1h`, `1m30s` | a number without a unit is refused, except 0 |
| size | `64KiB`, `1MiB`, `10MB`, `4096` | bytes |
| rate | `100/s`, `10/m`, `5/10s` | |
| address | `127.0.0.1:80`, `[::1]:80`, `db.example:5432`, `unix:/run/app.sock` | |
| name | letters, digits, `_`, `-` and `.`, 63 at most | of listeners, routes, clusters |

Any text may hold `${NAME}`, which the environment variable takes the place of (a missing one is an error; `$${` \
stands for `${` itself), or be `file:PATH`, which stands for what the file holds without its last line end; a relative \
path starts at the directory of the file that says it. Within `{...}` and `[...]` write `"${NAME}"`, in quotes.

Names that later versions will know, such as `tls`, are refused as `known, not supported yet`.
"""

FILTERS = """\
## Filters

Filters run in this order: the access log and the metrics, then those of the listener, outermost first, then the \
route's, then its timeout and its retries. Each is written `- NAME` or `- NAME: {SETTING: VALUE}`, and beside its own \
settings each has these two:

| setting | kind | default | |
|---|---|---|---|
| `mode` | `enforce`, `shadow` or `off` | `enforce` | in shadow what it decides is recorded, and the call goes on; \
off in a route also turns the listener's filter off for its calls |
| `percent` | number | `100` | the percentage of calls that it sees |

The same line takes filters of your own: see [writing-a-filter.md](writing-a-filter.md).
"""


def markdown() -> str:
    """Return the whole reference: the models, and the filters that are built in."""
    schema = Config.model_json_schema(schema_generator=Generator)
    _describe_references(schema)
    parts = [INTRODUCTION, _section("Config", schema)]
    done = {"Config", "FilterUse"}
    waiting = list(_references(schema["properties"]))
    while waiting:
        name = waiting.pop(0)
        if name not in done:
            done.add(name)
            definition = schema["$defs"][name]
            parts.append(_section(name, definition))
            # What a part holds stands right behind it.
            waiting = [*_references(definition.get("properties", {})), *waiting]
    filters = [each for _, each in sorted(all_filters().items()) if _is_built_in(each)]
    return "\n".join([*parts, FILTERS, *(_filter(each) for each in filters if fields(each.settings))])


def _is_built_in(plugin: IFilterPlugin) -> bool:
    file = sys.modules[type(plugin).__module__].__file__
    return os.path.dirname(file or "") == _BUILT_IN


def _section(name: str, schema: dict[str, Any]) -> str:
    title = "The whole" if name == "Config" else name
    rows = _rows(schema)
    return f"## {title}\n\n{_flat(schema.get('description', ''))}\n\n{rows}"


def _filter(plugin: IFilterPlugin) -> str:
    settings: Any = plugin.settings
    schema = TypeAdapter(settings).json_schema(schema_generator=Generator)
    text = f"### {plugin.name}\n\nFor {either(plugin.protocols)}. {_about(settings)}\n\n"
    text += _rows(schema)
    for each in dict.fromkeys(_inner(settings)):
        text += f"\n#### {each.__name__}\n\n{_about(each)}\n\n{_rows(schema['$defs'][each.__name__])}"
    return text


def _about(settings: Any) -> str:
    """Return the docstring of a dataclass, without the signature that stands in where there is none."""
    text = _flat(getdoc(settings) or "")
    return "" if text.startswith(f"{settings.__name__}(") else text


def _inner(annotation: Any) -> Iterator[Any]:
    """Yield the dataclasses within an annotation or the fields of a dataclass; old versions of pydantic do not say."""
    inside = get_type_hints(annotation).values() if is_dataclass(annotation) else get_args(annotation)
    for each in inside:
        if is_dataclass(each) and each not in _TEXTS:
            yield each
        yield from () if each in _TEXTS else _inner(each)


def _rows(schema: dict[str, Any]) -> str:
    lines = ["| setting | kind | default | |", "|---|---|---|---|"]
    required = schema.get("required", [])
    for name, each in schema["properties"].items():
        default = "required" if name in required else _default(each)
        about = each.get("description", "").replace("|", "\\|")
        lines.append(f"| `{name}` | {_kind(each)} | {default} | {_flat(about)} |")
    return "\n".join(lines) + "\n"


# Dataclasses that are written as text.
_TEXTS = (Address, Rate)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default is None or default in ("", [], {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


# Kinds that have a text of their own; the schema of each is known by how it looks.
_UNITS: dict[str, tuple[Any, ...]] = {
    "duration": (Duration, Interval),
    "size": (Size,),
    "rate": (Rate,),
    "address": (Address,),
    "status or range": (StatusRange,),
}
_KNOWN: dict[str, str] = {
    json.dumps({"type": "string", "description": ADDRESS["description"]}, sort_keys=True): "address"
}
for _name, _types in _UNITS.items():
    for _schema in (TypeAdapter(each).json_schema() for each in _types):
        _KNOWN.update({json.dumps(each, sort_keys=True): _name for each in (_schema, *_schema.get("anyOf", [])[:1])})
# What the second way to write a kind looks like: 0 is a duration, a number of bytes a size.
_IMPLIED = {"duration": "`0`", "size": "whole number"}
_SIMPLE = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": ""}


def _kind(schema: dict[str, Any]) -> str:
    """Say what a schema wants."""
    core = {key: value for key, value in schema.items() if key not in ("title", "default", "minItems")}
    known = _KNOWN.get(json.dumps(core, sort_keys=True))
    core.pop("description", None)
    known = known or _KNOWN.get(json.dumps(core, sort_keys=True))
    if known is not None:
        return known
    if "anyOf" in core or "oneOf" in core:
        return _one_of([_kind(each) for each in core.get("anyOf", core.get("oneOf", []))])
    if "$ref" in core:
        name = core["$ref"].rpartition("/")[2]
        return "[filter](#filters)" if name == "FilterUse" else f"[{name}](#{name.lower()})"
    if "const" in core or "enum" in core:
        return either([f"`{each}`" for each in core.get("enum", [core.get("const")])])
    if core.get("type") == "array":
        return f"list of {_kind(core.get('items', {}))}"
    if core.get("type") == "object":
        inside = core.get("additionalProperties")
        return f"mapping of {_kind(inside)}" if isinstance(inside, dict) else "mapping"
    return _SIMPLE.get(core.get("type", ""), "any value")


def _one_of(kinds: list[str]) -> str:
    """Join kinds, without those that say nothing new."""
    single = [each for each in dict.fromkeys(kinds) if each]
    single = [each for each in single if each not in (_IMPLIED.get(other) for other in single)]
    joined = either(single)
    shorter = single[:-1]
    # A list of what stands before it.
    return f"{either(shorter)}, or a list" if shorter and single[-1] == f"list of {either(shorter)}" else joined


def _describe_references(schema: dict[str, Any]) -> None:
    """Put back the descriptions that pydantic leaves out because what is referred to says the same."""
    for definition in (schema, *schema["$defs"].values()):
        for each in definition.get("properties", {}).values():
            if "$ref" in each:
                each.setdefault("description", schema["$defs"][each["$ref"].rpartition("/")[2]]["description"])


def _references(schema: Any) -> Iterator[str]:
    """Yield the names of the models that a schema refers to, in order."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)
