"""What pydantic found, in words that name what would be right, with the place in the file."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from twisted_mesh.control.names import names_at
from twisted_mesh.control.nearest import did_you_mean, did_you_mean_or_list
from twisted_mesh.control.tree import Mark, Table, locate
from twisted_mesh.errors import Problem
from twisted_mesh.model.base import NOT_YET
from twisted_mesh.model.scalars import plain
from twisted_mesh.model.text import describe
from twisted_mesh.model.tighten import NO_BRANCH

# Errors of our own: the message is in the error; NAME means that it is about a key rather than about its value.
SAID = "said"
SAID_OF_NAME = "said_of_name"

_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "dataclass": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def problems_of(error: ValidationError, schema: Any, tree: Any) -> list[Problem]:
    """Return a problem for each error.

    :param schema: the core schema that was applied.
    :param tree: what it was applied to.
    """
    return [mark_of(each, tree).problem(_message(each, schema)) for each in error.errors(include_url=False)]


def restated(error: ValidationError, schema: Any) -> ValidationError:
    """Return the same errors with their messages made, for use inside another validation."""
    details = []
    for each in error.errors(include_url=False):
        kind = SAID_OF_NAME if each["type"] in _UNKNOWN else SAID
        said = PydanticCustomError(kind, "{message}", {"message": _message(each, schema)})
        details.append(InitErrorDetails(type=said, loc=each["loc"], input=each["input"]))
    return ValidationError.from_exception_data(error.title, details)


def mark_of(error: Any, tree: Any) -> Mark:
    """Return where an error stands."""
    keys = error["loc"]
    if error["type"] in (*_UNKNOWN, SAID_OF_NAME):
        return _name_mark(tree, keys) or locate(tree, keys)
    if keys and keys[-1] == "[key]":
        return _name_mark(tree, keys[:-1]) or locate(tree, keys)
    mark = getattr(error["input"], "mark", None)
    return mark if isinstance(mark, Mark) else locate(tree, keys)


def _name_mark(tree: Any, keys: Any) -> Optional[Mark]:
    """Return where the last of `keys` stands as a key."""
    mark = locate(tree, keys[:-1])
    inside = tree
    for key in mark.keys:
        inside = inside[key]
    return inside.names.get(keys[-1]) if isinstance(inside, Table) else None


def _message(error: Any, schema: Any) -> str:
    """Say what would be right."""
    kind: str = error["type"]
    ctx: Mapping[str, Any] = error.get("ctx", {})
    explain = _EXACT.get(kind)
    if explain is not None:
        return explain(error, ctx)
    if kind in _UNKNOWN:
        return _unknown(error, schema)
    got = describe(error["input"])
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"expected {words} {_number(ctx[bound])}, got {got}"
    wanted = _KINDS.get(kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float"))
    if wanted is not None:
        return f"expected {wanted}, got {got}"
    said: str = error["msg"]
    return f"{said[:1].lower()}{said[1:]}, got {got}"


def _number(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else str(bound)


def _unknown(error: Any, schema: Any) -> str:
    names, cls = names_at(schema, error["loc"][:-1])
    name = str(error["loc"][-1])
    if name in getattr(cls, "later", ()):
        return NOT_YET
    return f"unknown name{did_you_mean_or_list(name, names)}"


def _missing(key: object) -> str:
    return f"item {key + 1} is missing" if isinstance(key, int) else f"{key} is missing"


def _literal(error: Any, ctx: Mapping[str, Any]) -> str:
    wanted = str(ctx["expected"]).replace("'", "")
    value = plain(error["input"])
    names = wanted.replace(" or ", ", ").split(", ")
    return f"expected {wanted}, got {describe(value)}{did_you_mean(value, names) if isinstance(value, str) else ''}"


_EXACT: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    SAID: lambda error, ctx: str(ctx["message"]),
    SAID_OF_NAME: lambda error, ctx: str(ctx["message"]),
    "value_error": lambda error, ctx: str(ctx["error"]),
    "assertion_error": lambda error, ctx: str(ctx["error"]) or "refused",
    "missing": lambda error, ctx: _missing(error["loc"][-1]),
    "finite_number": lambda error, ctx: f"expected a finite number, got {describe(error['input'])}",
    NO_BRANCH: lambda error, ctx: f"expected {ctx['wanted']}, got {describe(error['input'])}",
    "literal_error": _literal,
    "enum": _literal,
    "string_too_short": lambda error, ctx: (
        "expected some text, got nothing"
        if ctx["min_length"] == 1
        else f"expected at least {ctx['min_length']} characters, got {describe(plain(error['input']))}"
    ),
}
