"""What all models have in common, and the shapes that several of them use."""

from __future__ import annotations

import re
from typing import Annotated, Any, Callable, ClassVar, Optional, Sequence

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

from twisted_mesh.model.text import expected
from twisted_mesh.model.tighten import tightened
from twisted_mesh.model.units import Duration

NOT_YET = "known, not supported yet"


class Model(BaseModel):
    """A part of the configuration: frozen, and strict about names.

    `later` holds the names that are known and not supported yet, so that they are refused as that.  A subclass is
    compiled when it is first used, and only the outermost one ever is: that keeps the start short.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, validate_default=False)

    later: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        made = handler(source)
        inside: Any = handler.resolve_ref_schema(made)
        while inside["type"] != "model":
            inside = inside["schema"]
        inside["schema"] = tightened(inside["schema"])
        return made


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", re.ASCII)


def check_name(name: str) -> str:
    """Return `name` if it can name a resource: it stands in paths of the admin, in metrics and in logs."""
    if _NAME.fullmatch(name) is None:
        raise expected("a name of at most 63 letters, digits, '_', '-' and '.'", name)
    return name


Name = Annotated[str, AfterValidator(check_name)]
"""The name of a resource."""


class OrOff:
    """Marks an optional field for which the word ``off`` is written where Python has None.

    An empty value is not the same, so that nothing is switched off by mistake.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(
            _off_to_none,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(_none_to_off, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        forms = [each for each in handler(schema).get("anyOf", []) if each != {"type": "null"}]
        return {"anyOf": [*forms, {"const": "off"}]}


def _off_to_none(value: Any, info: ValidationInfo) -> Any:
    if value is None and info.context is not None:
        raise expected("a value or the word off", value)
    return None if isinstance(value, str) and value == "off" else value


def _none_to_off(value: Any, write: SerializerFunctionWrapHandler) -> Any:
    return "off" if value is None else write(value)


class Short:
    """Marks a field that has a short form, which `read` turns into the long one.

    :param form: the JSON Schema of the short form.
    """

    def __init__(self, read: Callable[[Any], Any], *forms: dict[str, Any]) -> None:
        self._read = read
        self._forms = forms

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        inner = handler(schema)
        return {"anyOf": [*(self._forms or [inner["items"]]), *inner.get("anyOf", [inner])]}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


ONE_OR_LIST = Short(_as_list)
"""Marks a list that may be written as its only item."""


class NotEmpty:
    """Marks a list that needs an item.  Not pydantic's own bound, which also counts the items that are refused."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_not_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minItems": 1}


def _not_empty(value: Any) -> Any:
    if not value:
        raise ValueError("expected at least one")
    return value


def one_of(*names: str, later: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Make a validator that takes one of `names`, and says of those in `later` that they are not supported yet."""

    def check(value: str) -> str:
        if value in names:
            return value
        if value in later:
            raise ValueError(NOT_YET)
        raise expected(either(names), value)

    return check


DurationOrOff = Annotated[Optional[Duration], OrOff()]
"""Seconds, or None where ``off`` is written."""


def either(names: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
