"""The uses of filters, in every form that they may be written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.filters import FilterUse
from twisted_mesh.model.units import Duration


@dataclass(frozen=True)
class Settings:
    wait: Duration = 1.0


@pytest.mark.parametrize(
    ("written", "use"),
    [
        ("gzip", FilterUse(name="gzip")),
        ({"gzip": None}, FilterUse(name="gzip")),
        ({"gzip": {}}, FilterUse(name="gzip")),
        ({"gzip": {"level": 5}}, FilterUse(name="gzip", settings={"level": 5})),
        (
            {"gzip": {"level": 5, "mode": "shadow", "percent": 10}},
            FilterUse(name="gzip", settings={"level": 5}, mode="shadow", percent=10.0),
        ),
        ({"gzip": {"mode": "off"}}, FilterUse(name="gzip", mode="off")),
    ],
)
def test_a_use_is_a_name_with_settings(written: Any, use: FilterUse) -> None:
    made = FilterUse.model_validate(written)
    assert made == use
    assert FilterUse.model_validate(made.model_dump(mode="json")) == use


@pytest.mark.parametrize(
    "written",
    [5, None, [], {}, {"a": {}, "b": {}}, {"a": 5}, {"a": {"mode": "shadoww"}}, {"a": {"percent": 101}}, "a b"],
)
def test_anything_else_is_none(written: Any) -> None:
    with pytest.raises(ValidationError):
        FilterUse.model_validate(written)


def test_settings_are_read_by_whoever_loads() -> None:
    def read(name: str, raw: Any) -> Settings:
        assert (name, raw) == ("wait", {"wait": "2s"})
        return Settings(2.0)

    written = {"wait": {"wait": "2s", "percent": 5}}
    made = FilterUse.model_validate(written, context={"read_settings": read})
    assert made.settings == Settings(2.0)
    assert made.model_dump(mode="json") == written


def test_settings_with_defaults_are_shown_as_text() -> None:
    assert FilterUse(name="wait", settings=Settings()).model_dump(mode="json") == {"wait": {"wait": "1s"}}
