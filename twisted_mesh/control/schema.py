"""The JSON Schema of the configuration (draft 2020-12), the settings of all filters that are found included."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaError, SchemaSerializer

from twisted_mesh.control.found import all_filters
from twisted_mesh.model import Config
from twisted_mesh.model.filters import RESERVED

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFS = "#/$defs/{model}"


class Generator(GenerateJsonSchema):
    """Shows defaults as they are written: 25ms, not 0.025."""

    def encode_default(self, dft: Any) -> Any:
        # A model that nothing has used yet cannot be written, and `default_schema` leaves it out anyway.
        return {} if isinstance(dft, BaseModel) else super().encode_default(dft)

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = schema.get("default")
        if isinstance(default, BaseModel):
            # What it would show is said by the model's own fields.
            made.pop("default", None)
        elif "default" in schema and default != ():
            try:
                made["default"] = SchemaSerializer(schema["schema"]).to_python(default, mode="json", exclude_unset=True)
            except SchemaError:
                # It refers to a model, as an optional one does whose default is none.
                made["default"] = _plain(default)
        return made


def _plain(value: Any) -> Any:
    """Return a default that holds models as JSON has it: of each what it was made with."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in sorted(value.model_fields_set)}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a whole configuration."""
    schema = Config.model_json_schema(ref_template=_REFS, schema_generator=Generator)
    definitions: dict[str, Any] = schema["$defs"]
    definitions["FilterUse"] = _filter_use(definitions)
    schema["$schema"] = DIALECT
    schema["title"] = "twisted_mesh configuration"
    spelled: dict[str, Any] = _spelled(schema)
    return spelled


def _filter_use(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the use of a filter, with each filter's settings; adds to `definitions`."""
    general = definitions["FilterUse"]
    own = general["anyOf"][1]["additionalProperties"]["properties"]
    named = {name: _settings(plugin.settings, own, definitions) for name, plugin in sorted(all_filters().items())}
    plain = {"enum": sorted(named), "description": "A filter with its default settings."}
    with_settings = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": named,
        "additionalProperties": False,
    }
    return {"anyOf": [plain, with_settings], "description": general["description"]}


def _settings(settings: type, own: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if not is_dataclass(settings):
        return {"type": "object", "properties": own}
    schema = TypeAdapter(settings).json_schema(ref_template=_REFS, schema_generator=Generator)
    for name, inner in schema.pop("$defs", {}).items():
        definitions.setdefault(name, {**inner, "additionalProperties": False} if "properties" in inner else inner)
    properties = {**schema.get("properties", {}), **{name: own[name] for name in RESERVED}}
    whole = {**schema, "type": "object", "properties": properties, "additionalProperties": False}
    # Settings that all have defaults may be left out, as in `- name:`.
    return whole if schema.get("required") else {"anyOf": [whole, {"type": "null"}]}


# What stands for something else until it is loaded.
_SUBSTITUTE = r"\$\{|^file:"


def _spelled(schema: Any) -> Any:
    """Let scalars be written as they may be, and leave out the titles, which repeat the names.

    Text may look like a number or a flag, and ``${NAME}`` may stand for any scalar.
    """
    if isinstance(schema, list):
        return [_spelled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {
        key: _named(value) if key in ("properties", "$defs") else _spelled(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
    kind = made.get("type")
    if kind == "string" and "pattern" in made:
        made["pattern"] += f"|{_SUBSTITUTE}"
    elif kind == "string" and not {"enum", "const"} & set(made):
        made["type"] = ["string", "number", "boolean"]
    elif kind in ("integer", "number", "boolean") and not {"enum", "const"} & set(made):
        about = {key: made.pop(key) for key in ("default", "description") if key in made}
        return {"anyOf": [made, {"type": "string", "pattern": _SUBSTITUTE}], **about}
    return made


def _named(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: _spelled(each) for name, each in schemas.items()}
