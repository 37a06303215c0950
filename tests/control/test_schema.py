"""The JSON Schema that editors use."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator

from twisted_mesh import model
from twisted_mesh.control.schema import DIALECT, json_schema
from twisted_mesh.model import Config


def test_it_is_of_the_newest_draft_and_holds_every_setting() -> None:
    schema = json_schema()
    assert schema["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == list(Config.model_fields)
    assert schema["additionalProperties"] is False
    json.dumps(schema)


def test_references_lead_somewhere() -> None:
    schema = json_schema()
    for each in parts(schema):
        if "$ref" in each:
            assert each["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def test_every_setting_has_a_description() -> None:
    schema = json_schema()
    for name, definition in [("Config", schema), *schema["$defs"].items()]:
        if hasattr(model, name):
            for field, each in definition.get("properties", {}).items():
                # Pydantic leaves out a description that the model referred to has as well.
                assert "description" in each or "$ref" in each, f"{name}.{field}"


def test_defaults_are_shown_as_they_are_written() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["Route"]["properties"]["timeout"]["default"] == "15s"
    assert definitions["Backoff"]["properties"]["base"]["default"] == "25ms"
    assert definitions["HttpLimits"]["properties"]["header_bytes"]["default"] == "60KiB"
    assert json_schema()["properties"]["admin"]["default"] == "127.0.0.1:9901"


def test_a_default_that_holds_models_is_what_they_were_made_with() -> None:
    assert json_schema()["$defs"]["Hashing"]["properties"]["key"]["default"] == [{"part": "source"}]


def test_short_forms_and_variables_are_allowed() -> None:
    definitions = json_schema()["$defs"]
    assert {"const": "off"} in definitions["Route"]["properties"]["timeout"]["anyOf"]
    assert definitions["AccessLog"]["properties"]["path"]["type"] == ["string", "number", "boolean"]
    backlog = definitions["Bind"]["properties"]["backlog"]
    assert [each["type"] for each in backlog["anyOf"]] == ["integer", "string"]
    assert backlog["default"] == 1024


def test_filters_are_known_with_their_settings(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_schema", "wait: Duration\ninner: Optional[Inner] = None")
    definitions = json_schema()["$defs"]
    plain, settled = definitions["FilterUse"]["anyOf"]
    assert {"user_schema", "headers"} <= set(plain["enum"])
    own = settled["properties"]["user_schema"]
    assert list(own["properties"]) == ["wait", "inner", "mode", "percent"]
    assert own["required"] == ["wait"]
    assert own["additionalProperties"] is False
    assert definitions["Inner"]["additionalProperties"] is False
    assert {"type": "null"} in settled["properties"]["headers"]["anyOf"]


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a schema."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from parts(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from parts(each)
