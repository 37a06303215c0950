"""Leaves are strict, containers are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Union

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaValidator, ValidationError

from twisted_mesh.model.scalars import Flag, Real, Text, Whole, scalar
from twisted_mesh.model.tighten import tightened


def check(annotation: Any, value: Any) -> Any:
    return SchemaValidator(tightened(TypeAdapter(annotation).core_schema)).validate_python(value)


def marked(kind: type, value: Any, text: str) -> Any:
    return scalar(kind, value, text, "a mark")


TRUE = marked(Flag, "true", "true")
ONE_TEN = marked(Real, 1.1, "1.10")
OCTAL = marked(Whole, 8, "0o10")


@pytest.mark.parametrize(
    ("annotation", "value", "result"),
    [
        (str, TRUE, "true"),
        (str, ONE_TEN, "1.10"),
        (str, OCTAL, "0o10"),
        (int, OCTAL, 8),
        (float, OCTAL, 8.0),
        (float, ONE_TEN, 1.1),
        (bool, TRUE, True),
        (bool, False, False),
        (Any, TRUE, True),
        (Any, {"a": [ONE_TEN]}, {"a": [1.1]}),
        (tuple[str, ...], [ONE_TEN], ("1.10",)),
        (dict[str, int], {"a": OCTAL}, {"a": 8}),
        (Union[int, str], OCTAL, 8),
        (Union[str, int], OCTAL, 8),
        (Union[int, str], marked(Text, "8", "8"), "8"),
        (Optional[float], None, None),
    ],
)
def test_a_value_is_what_is_wanted(annotation: Any, value: Any, result: Any) -> None:
    made = check(annotation, value)
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, 5.0),
        (int, True),
        (int, TRUE),
        (float, "1.5"),
        (float, float("nan")),
        (float, float("inf")),
        (bool, 1),
        (bool, "yes"),
        (bool, marked(Text, "on", "on")),
        (str, None),
        (tuple[int, ...], ["5"]),
        (Union[int, bool], "5"),
    ],
)
def test_what_was_not_written_as_such_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        check(annotation, value)


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    more: tuple[Inner, ...] = ()


def test_dataclasses_refuse_unknown_names_at_every_depth() -> None:
    assert check(Outer, {"more": [{"size": OCTAL}]}) == Outer(more=(Inner(8),))
    for wrong in ({"siez": 1}, {"inner": {"siez": 1}}, {"more": [{"siez": 1}]}, {"inner": {"size": "1"}}):
        with pytest.raises(ValidationError):
            check(Outer, wrong)


def test_models_decide_for_themselves() -> None:
    class Lax(BaseModel):
        size: int

    assert check(Lax, {"size": "5"}).size == 5


def test_the_schema_itself_stays_as_it_is() -> None:
    schema = TypeAdapter(Outer).core_schema
    before = repr(schema)
    tightened(schema)
    assert repr(schema) == before
