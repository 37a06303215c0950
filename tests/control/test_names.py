"""The names that are known at a place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Union

import pytest
from pydantic import TypeAdapter

from twisted_mesh.control.names import names_at
from twisted_mesh.model import Config
from twisted_mesh.model.base import Model


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ((), "Config"),
        (("node",), "Node"),
        (("listeners", "edge"), "Listener"),
        (("listeners", "edge", "bind", 0), "Bind"),
        (("listeners", "edge", "http", "limits"), "HttpLimits"),
        (("listeners", "edge", "access_log", "log"), "AccessLog"),
        (("listeners", "edge", "routes", "list", 2, "match", "path"), "PathMatch"),
        (("routes", "shop", 1, "to", 2, "headers"), "TargetHeaders"),
        (("routes", "shop", 1, "retry", "backoff"), "Backoff"),
        (("clusters", "api", "endpoints", 0), "Endpoint"),
        (("clusters", "api", "health_check"), "HealthCheck"),
    ],
)
def test_every_model_can_be_reached(keys: tuple[object, ...], name: str) -> None:
    Config.model_rebuild()
    names, cls = names_at(Config.__pydantic_core_schema__, keys)
    assert cls is not None
    assert cls.__name__ == name
    assert issubclass(cls, Model)
    assert names == list(cls.model_fields)


@pytest.mark.parametrize("keys", [("nowhere",), ("mesh",), ("node", "labels", "a"), ("listeners",)])
def test_there_are_none_elsewhere(keys: tuple[str, ...]) -> None:
    Config.model_rebuild()
    assert names_at(Config.__pydantic_core_schema__, keys) == ([], None)


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    one: Optional[Inner] = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = field(default_factory=dict)
    either: Union[int, Inner] = 0


@pytest.mark.parametrize("keys", [("one",), ("many", 5), ("named", "x"), ("either", "Inner")])
def test_dataclasses_are_reached_through_everything(keys: tuple[object, ...]) -> None:
    assert names_at(TypeAdapter(Outer).core_schema, keys) == (["depth"], Inner)
