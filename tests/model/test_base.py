"""What models have in common."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import pytest
from pydantic import TypeAdapter, ValidationError

from twisted_mesh.model.base import (
    ONE_OR_LIST,
    DurationOrOff,
    Model,
    Name,
    NotEmpty,
    OrOff,
    Short,
    either,
    one_of,
)


class Box(Model):
    size: int = 1
    names: Annotated[tuple[str, ...], NotEmpty(), ONE_OR_LIST] = ("a",)
    lid: Annotated[Optional[int], OrOff()] = 5


@pytest.mark.parametrize("name", ["a", "web-1", "A_b.c", "0", "a" * 63])
def test_a_name_is_short_and_plain(name: str) -> None:
    assert TypeAdapter(Name).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", ".a", "-a", "a" * 64, "\xe4", "a\n"])
def test_anything_else_names_nothing(name: str) -> None:
    with pytest.raises(ValidationError, match="expected a name of at most 63"):
        TypeAdapter(Name).validate_python(name)


def test_models_are_frozen_and_equal_by_value() -> None:
    with pytest.raises(ValidationError):
        Box().size = 2  # type: ignore[misc]
    assert Box() == Box(size=1)
    assert Box() != Box(size=2)


@pytest.mark.parametrize("wrong", [{"size": "1"}, {"size": True}, {"seize": 1}, {"names": []}, {"lid": "no"}])
def test_models_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Box.model_validate(wrong)


def test_a_list_may_be_written_as_its_only_item() -> None:
    assert Box.model_validate({"names": "b"}).names == ("b",)
    assert Box.model_validate({"names": ["b", "c"]}).names == ("b", "c")


def test_off_is_none_and_an_empty_value_is_not() -> None:
    assert Box.model_validate({"lid": "off"}).lid is None
    assert Box.model_validate({"lid": "off"}).model_dump(mode="json")["lid"] == "off"
    assert Box.model_validate({"lid": None}).lid is None
    with pytest.raises(ValidationError, match="expected a value or the word off"):
        Box.model_validate({"lid": None}, context={})
    assert TypeAdapter(DurationOrOff).validate_python("2s") == 2.0
    assert TypeAdapter(DurationOrOff).dump_python(2.0, mode="json") == "2s"


def test_a_schema_shows_the_short_forms() -> None:
    properties = Box.model_json_schema()["properties"]
    assert properties["lid"]["anyOf"] == [{"type": "integer"}, {"const": "off"}]
    assert [each["type"] for each in properties["names"]["anyOf"]] == ["string", "array"]
    assert properties["names"]["anyOf"][1]["minItems"] == 1
    short = Annotated[int, Short(len, {"type": "string"})]
    assert TypeAdapter(short).json_schema() == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert TypeAdapter(short).validate_python("abc") == 3


def test_one_of_knows_what_comes_later() -> None:
    check = one_of("a", "b", later=("c",))
    assert check("a") == "a"
    with pytest.raises(ValueError, match=r"^known, not supported yet$"):
        check("c")
    with pytest.raises(ValueError, match=r'^expected a or b, got "d"$'):
        check("d")


def test_either_lists_with_or() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a, b or c"
