"""docs/configuration.md is what the models say."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT
from twisted_mesh.control.reference import _kind, markdown
from twisted_mesh.control.schema import Generator
from twisted_mesh.model import Config, Listener
from twisted_mesh.model.base import Model


def test_the_documentation_is_current() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == markdown(), "docs/configuration.md is not what the models say: run `make docs`"


def test_every_model_and_every_setting_stands_in_it() -> None:
    text = markdown()
    for model in Model.__subclasses__():
        if model.__module__.startswith("twisted_mesh.") and model.__name__ not in ("Config", "FilterUse"):
            section = text.partition(f"\n## {model.__name__}\n")[2].partition("\n## ")[0]
            assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(model.model_fields)


def test_links_lead_somewhere() -> None:
    text = markdown()
    headings = {each.lower() for each in re.findall(r"^#+ (\w+)$", text, re.MULTILINE)}
    assert {each.lower() for each in re.findall(r"\]\(#(\w+)\)", text)} <= headings


@pytest.mark.parametrize(
    ("model", "field", "kind"),
    [
        (Config, "admin", "address or `off`"),
        (Config, "mesh", "text"),
        (Config, "workers", "whole number"),
        (Config, "listeners", "mapping of [Listener](#listener)"),
        (Listener, "bind", "address or [Bind](#bind), or a list"),
        (Listener, "filters", "list of [filter](#filters)"),
        (Listener, "protocol", "`http`, `redis` or `tcp`"),
    ],
)
def test_kinds_are_said_as_people_do(model: type[Model], field: str, kind: str) -> None:
    assert _kind(model.model_json_schema(schema_generator=Generator)["properties"][field]) == kind
