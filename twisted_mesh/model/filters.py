"""The use of a filter in a chain."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, Callable, Literal, Mapping, Optional

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from twisted_mesh.model.base import Model, Name
from twisted_mesh.model.text import expected

# What a FilterUse says itself; no filter may have settings of these names.
RESERVED = ("mode", "percent")

ReadSettings = Callable[[str, Any], Any]
"""Turns the name of a filter and raw settings into the filter's settings object; raises `ValueError`."""


class FilterUse(Model):
    """A filter in a chain: ``- NAME``, or ``- NAME: {SETTING: VALUE, ..., mode: shadow, percent: 10}``.

    `settings` is what the filter's plugin made of them if the validation context holds ``read_settings``
    (a `ReadSettings`), as it does when a configuration is loaded; else the raw mapping.
    """

    name: Name = Field(description="The filter's name.")
    mode: Literal["enforce", "shadow", "off"] = Field(
        default="enforce", description="enforce; shadow: record what it would do and let the call pass; off."
    )
    percent: float = Field(default=100.0, ge=0, le=100, description="The percentage of calls that it sees.")
    # Behind the mode, which decides whether any have to be there.
    settings: Any = Field(default={}, description="The filter's own settings.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_forms(cls, value: Any) -> Any:
        parts = _parts(value)
        if parts is None:
            raise expected("a filter: NAME, or NAME: {SETTING: VALUE}", value)
        return {"settings": {}, **parts}

    @field_validator("settings", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        read: Optional[ReadSettings] = info.context.get("read_settings") if info.context is not None else None
        # Without a name there is another problem already.
        if read is None or "name" not in info.data:
            return value
        try:
            return read(info.data["name"], value)
        except ValidationError:
            # What is off needs none.
            if value or info.data.get("mode") != "off":
                raise
            return value

    @model_serializer(mode="plain")
    def _as_written(self) -> Any:
        settings = self.settings
        if is_dataclass(settings):
            settings = _adapter(settings.__class__).dump_python(settings, mode="json")
        inside = dict(settings)
        if self.mode != "enforce":
            inside["mode"] = self.mode
        if self.percent != 100:
            inside["percent"] = self.percent
        return {self.name: inside} if inside else self.name

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        fields = handler.resolve_ref_schema(handler(schema))["properties"]
        own = {"type": "object", "properties": {name: fields[name] for name in RESERVED}}
        named = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": own}
        return {"anyOf": [{"type": "string"}, named], "description": "NAME, or NAME: {SETTING: VALUE}."}


@lru_cache(maxsize=256)
def _adapter(settings: type) -> TypeAdapter[Any]:
    return TypeAdapter(settings)


def _parts(value: Any) -> Any:
    """Return the fields of a filter use, whatever form it is written in; None if it is none."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("name"), str):
        return dict(value)
    if len(value) != 1:
        return None
    [(name, inside)] = value.items()
    if inside is None:
        return {"name": name}
    if not isinstance(inside, Mapping):
        return None
    parts = {key: each for key, each in inside.items() if key in RESERVED}
    return {"name": name, "settings": {key: each for key, each in inside.items() if key not in RESERVED}, **parts}
