"""Every kind of error that our models can make has words of our own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter
from pydantic_core import SchemaValidator, ValidationError

from twisted_mesh.control.explain import problems_of, restated
from twisted_mesh.control.yamlfile import read_yaml
from twisted_mesh.model.tighten import tightened


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Everything:
    text: Annotated[str, Field(min_length=1)] = "a"
    long: Annotated[str, Field(min_length=3)] = "abc"
    even: Annotated[int, Field(multiple_of=2)] = 0
    more: Annotated[float, Field(gt=0.5)] = 1
    less: Annotated[int, Field(lt=5000)] = 1
    word: Literal["on", "off"] = "on"
    color: Color = Color.RED
    pairs: tuple[int, str] = (1, "a")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("text: ''", "f.yaml:1:7: text: expected some text, got nothing"),
        ("text: [a]", "f.yaml:1:7: text: expected text, got a list"),
        ("long: ab", 'f.yaml:1:7: long: expected at least 3 characters, got "ab"'),
        ("even: 3", "f.yaml:1:7: even: input should be a multiple of 2, got 3"),
        ("more: 0.5", "f.yaml:1:7: more: expected more than 0.5, got 0.5"),
        ("more: .inf", "f.yaml:1:7: more: expected a finite number, got .inf"),
        ("more: a", 'f.yaml:1:7: more: expected a number, got "a"'),
        ("less: 9000", "f.yaml:1:7: less: expected less than 5,000, got 9000"),
        ("less: 1.5", "f.yaml:1:7: less: expected a whole number, got 1.5"),
        ("word: of", 'f.yaml:1:7: word: expected on or off, got "of"; did you mean "off"?'),
        ("word: 5", "f.yaml:1:7: word: expected on or off, got 5"),
        ("color: green", 'f.yaml:1:8: color: expected red or blue, got "green"'),
        ("pairs: {}", "f.yaml:1:8: pairs: expected a list, got a mapping"),
        ("pairs: [1]", "f.yaml:1:8: pairs: item 2 is missing"),
        ("word: on\ntxt: a", 'f.yaml:2:1: txt: unknown name; did you mean "text"?'),
        ("5: a", "f.yaml:1:1: 5: unknown name; known are color, even, less, long, more, pairs, text, word"),
    ],
)
def test_an_error_says_what_would_be_right(text: str, problem: str) -> None:
    schema: Any = tightened(TypeAdapter(Everything).core_schema)
    tree = read_yaml(text, "f.yaml", [])
    with pytest.raises(ValidationError) as caught:
        SchemaValidator(schema).validate_python(tree)
    assert [str(each) for each in problems_of(caught.value, schema, tree)] == [problem]
    # Said inside another validation, it is the same.
    again = restated(caught.value, schema)
    assert [str(each) for each in problems_of(again, None, tree)] == [problem]
