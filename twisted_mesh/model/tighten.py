"""Stricter core schemas for what was written by hand.

Pydantic's own strictness refuses lists for tuples as well, and its laxness takes ``"5"`` for 5 and ``yes`` for true.
`tightened` changes only the leaves: numbers and flags must have been written as such, any scalar is text where text is
wanted, unknown names are refused.  Our models do it to themselves, loading does it to the settings of filters.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import core_schema

from twisted_mesh.model.scalars import Flag, plain

# Where the core schemas inside a core schema stand.
_SINGLE = (
    "schema",
    "items_schema",
    "keys_schema",
    "values_schema",
    "extras_schema",
    "lax_schema",
    "strict_schema",
    "json_schema",
    "python_schema",
    "arguments_schema",
)


def tightened(schema: Any) -> Any:
    """Return a stricter copy of a core schema; models inside it decide for themselves."""
    if schema["type"] == "model":
        return schema
    made = dict(schema)
    for key in _SINGLE:
        inside = made.get(key)
        if isinstance(inside, dict):
            made[key] = tightened(inside)
    for key in ("items_schema", "choices", "definitions", "fields", "steps"):
        inside = made.get(key)
        if isinstance(inside, list):
            made[key] = [_member(each) for each in inside]
        elif isinstance(inside, dict) and key in ("choices", "fields"):
            made[key] = {name: _member(each) for name, each in inside.items()}
    leaf = _LEAVES.get(made["type"])
    return leaf(made) if leaf is not None else made


def _member(value: Any) -> Any:
    """Tighten a member of a list: a schema, or a schema with a label."""
    if isinstance(value, tuple):
        return (tightened(value[0]), *value[1:])
    return tightened(value) if isinstance(value, dict) else value


def _text(schema: dict[str, Any]) -> Any:
    return {**schema, "coerce_numbers_to_str": True}


def _number(schema: dict[str, Any]) -> Any:
    return {**schema, "strict": True}


def _real(schema: dict[str, Any]) -> Any:
    return {**schema, "strict": True, "allow_inf_nan": False}


def _flag(schema: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(_as_bool, {**schema, "strict": True})


def _as_bool(value: Any) -> Any:
    return bool(value) if isinstance(value, Flag) else value


def _any(schema: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(plain, schema)


def _forbid(schema: dict[str, Any]) -> Any:
    return {**schema, "extra_behavior": "forbid"}


# The type of the one error of a union, instead of one for each of its branches.
NO_BRANCH = "no_branch"
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping",
    "dataclass": "a mapping",
    "model": "a mapping",
    "definition-ref": "a mapping",
}


def _union(schema: dict[str, Any]) -> Any:
    if "custom_error_type" in schema:
        return schema
    wanted = [_kind(each[0] if isinstance(each, tuple) else each) for each in schema["choices"]]
    context = {"wanted": " or ".join(dict.fromkeys(each for each in wanted if each)) or "another value"}
    return {
        **schema,
        "custom_error_type": NO_BRANCH,
        "custom_error_message": "expected {wanted}",
        "custom_error_context": context,
    }


def _kind(schema: Any) -> str:
    """Say what a core schema wants; nothing where it is hidden in a function."""
    if schema["type"] == "literal":
        return " or ".join(str(each) for each in schema["expected"])
    known = _KINDS.get(schema["type"], "")
    inside = schema.get("schema")
    return known if known or not isinstance(inside, dict) else _kind(inside)


_LEAVES = {
    "str": _text,
    "int": _number,
    "float": _real,
    "bool": _flag,
    "any": _any,
    "union": _union,
    "dataclass-args": _forbid,
    "typed-dict": _forbid,
}
