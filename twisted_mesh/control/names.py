"""The names that are known at a place in a core schema, for the errors about those that are not."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Optional


def names_at(schema: Any, keys: Iterable[Any]) -> tuple[list[str], Optional[type]]:
    """Return the names that a model or dataclass at `keys` knows, and its class."""
    where = _Walk(schema).at(list(keys))
    if where is None:
        return [], None
    fields = where[0]["fields"]
    return list(fields) if isinstance(fields, dict) else [each["name"] for each in fields], where[1]


class _Walk:
    """Follows the locations of pydantic's errors through a core schema."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._definitions: dict[str, Any] = {}
        if schema["type"] == "definitions":
            self._definitions = {each["ref"]: each for each in schema["definitions"]}

    def at(self, keys: list[Any]) -> Optional[tuple[Any, Optional[type]]]:
        """Return the innermost set of fields at `keys`, and the class that it belongs to."""
        return self._find(self._schema, keys, None)

    def _find(self, schema: Any, keys: list[Any], cls: Optional[type]) -> Optional[tuple[Any, Optional[type]]]:
        kind = schema["type"]
        if kind == "definition-ref":
            return self._find(self._definitions[schema["schema_ref"]], keys, cls)
        if kind in ("model-fields", "dataclass-args", "typed-dict"):
            if not keys:
                return schema, cls
            fields = schema["fields"]
            named = fields if isinstance(fields, dict) else {each["name"]: each for each in fields}
            return self._find(named[keys[0]]["schema"], keys[1:], None) if keys[0] in named else None
        if kind in ("dict", "list", "tuple", "set", "frozenset"):
            return self._first(_inside(schema), keys[1:], cls) if keys else None
        if kind in ("union", "tagged-union"):
            return self._first(_choices(schema), keys, cls) or self._first(_choices(schema), keys[1:], cls)
        inside = schema.get("schema")
        return self._find(inside, keys, schema.get("cls", cls)) if isinstance(inside, dict) else None

    def _first(self, schemas: Iterator[Any], keys: list[Any], cls: Optional[type]) -> Optional[tuple[Any, Any]]:
        found = (self._find(each, keys, cls) for each in schemas)
        return next((each for each in found if each is not None), None)


def _inside(schema: Any) -> Iterator[Any]:
    for key in ("values_schema", "items_schema"):
        inside = schema.get(key)
        yield from inside if isinstance(inside, list) else [inside] if inside is not None else []


def _choices(schema: Any) -> Iterator[Any]:
    choices = schema["choices"]
    for each in choices.values() if isinstance(choices, dict) else choices:
        yield each[0] if isinstance(each, tuple) else each
