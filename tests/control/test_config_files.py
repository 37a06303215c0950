"""Every file in config/ loads, and the complete one is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.support import ROOT
from twisted_mesh.bus.resource import encode
from twisted_mesh.cli.proposal import check, read
from twisted_mesh.control.load import load
from twisted_mesh.model import Config
from twisted_mesh.model.base import Model

DIRECTORY = ROOT / "config"
# What is for `meshctl apply`, and no configuration of a sidecar.
BUS = DIRECTORY / "bus"
PATHS = sorted(each for each in DIRECTORY.iterdir() if each.suffix == ".yaml" or (each.is_dir() and each != BUS))
ENV = {"HOSTNAME": "web-1", "ZONE": "a", "BIND": "127.0.0.1:8080", "MAX_CONNECTIONS": "500", "UPSTREAM": "web:9001"}
ENV["CERTIFICATES"] = "/etc/mesh"


@pytest.mark.parametrize("path", PATHS, ids=lambda each: each.name)
def test_it_loads(path: Path) -> None:
    config = load(str(path), ENV if path.name in ("environment.yaml", "tls.yaml") else {})
    assert config.listeners


@pytest.mark.parametrize("path", PATHS, ids=lambda each: each.name)
def test_it_begins_with_what_it_is_for(path: Path) -> None:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    assert any(each.read_text().startswith("# ") for each in files)


def test_what_is_for_the_bus_fits_the_file_that_it_is_for() -> None:
    proposed = read([str(BUS)], {})
    assert {each.name for each in proposed} >= {"groups/edges", "routes/shop", "routes/shop@preview", "clusters/orders"}
    assert check(proposed, {}, str(DIRECTORY / "registry.yaml"), {}) == []
    for each in proposed:
        encode(each.name, each.draft)


def test_values_come_from_the_environment_and_from_files() -> None:
    config = load(str(DIRECTORY / "environment.yaml"), ENV)
    listener = config.listeners["web"]
    assert config.node.id == "web-1"
    assert listener.max_connections == 500
    assert listener.filters[0].settings.request.set == {"x-zone": "zone a"}
    assert not isinstance(listener.routes, str)
    assert listener.routes[0].reply is not None
    assert listener.routes[0].reply.body == "Welcome to the mesh."


def test_the_complete_one_says_everything() -> None:
    config = load(str(DIRECTORY / "complete.yaml"), {})
    said: dict[type[Model], set[str]] = {}
    for each in models(config):
        said.setdefault(type(each), set()).update(each.model_fields_set)
    everything = {cls: set(cls.model_fields) for cls in all_models()}
    assert said == everything


def models(value: Any) -> Iterator[Model]:
    """Yield every model in a value."""
    if isinstance(value, Model):
        yield value
        for name in type(value).model_fields:
            yield from models(getattr(value, name))
    elif isinstance(value, (tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from models(each)


def all_models() -> list[type[Model]]:
    """Return every model that is part of a configuration."""
    return [each for each in Model.__subclasses__() if each.__module__.startswith(Config.__module__.rpartition(".")[0])]
