"""The settings of filters, made of what was written by the filters' own dataclasses."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Callable

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, ValidationError, core_schema

from twisted_mesh.control.explain import restated
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.model.filters import RESERVED
from twisted_mesh.model.tighten import tightened


class SettingsReader:
    """Reads the settings of filters; knows every plugin that it needed, by name, in `plugins`.

    :param find: returns the plugin of a filter, or raises `ValueError`.
    """

    def __init__(self, find: Callable[[str], IFilterPlugin]) -> None:
        self._find = find
        self._validators: dict[str, tuple[SchemaValidator, Any]] = {}
        self.plugins: dict[str, IFilterPlugin] = {}

    def __call__(self, name: str, raw: Any) -> Any:
        """Return the settings object of filter `name`.

        :raises ValueError: there is no such filter, or its settings are refused; as a pydantic `ValidationError` with
            locations below the filter's name where single settings are.
        """
        if name not in self._validators:
            plugin = self._find(name)
            self._validators[name] = _validator(name, plugin.settings)
            self.plugins[name] = plugin
        validator, schema = self._validators[name]
        try:
            return validator.validate_python({name: raw}, context={})[name]
        except ValidationError as error:
            raise restated(error, schema) from None
        except Exception as error:
            # A filter's own __post_init__ may raise anything.
            raise ValueError(f"the filter refused its settings: {type(error).__name__}: {error}") from error


def _validator(name: str, settings: type) -> tuple[SchemaValidator, Any]:
    """Return a validator for ``{name: settings}``: the name is part of where errors stand."""
    if not (isinstance(settings, type) and is_dataclass(settings)):
        raise ValueError(f"the filter {name} is broken: its settings are no dataclass")
    taken = [each.name for each in fields(settings) if each.name in RESERVED]
    if taken:
        raise ValueError(f"the filter {name} is broken: a setting is called {taken[0]}, which the chain itself uses")
    try:
        inner = TypeAdapter(settings).core_schema
        outer = core_schema.typed_dict_schema({name: core_schema.typed_dict_field(inner)})
        tight = tightened(_definitions_out(outer, name))
        return SchemaValidator(tight), tight
    except Exception as error:
        raise ValueError(f"the filter {name} is broken: {type(error).__name__}: {error}") from error


def _definitions_out(outer: Any, name: str) -> Any:
    """Move the definitions of the inner schema to the top, the only place where pydantic-core takes them."""
    inner = outer["fields"][name]["schema"]
    if inner["type"] != "definitions":
        return outer
    outer["fields"][name]["schema"] = inner["schema"]
    return core_schema.definitions_schema(outer, inner["definitions"])
