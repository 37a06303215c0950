"""Filters of users, for the tests of what finds and reads them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

import twisted_mesh.filters

PLUGIN = """
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Union

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.model.units import Duration, Rate, Size


@dataclass(frozen=True)
class Inner:
    depth: int


@dataclass(frozen=True)
class Settings:
{fields}

@implementer(IPlugin, IFilterPlugin)
class Plugin:
    name = "{name}"
    settings = Settings
    protocols = ("http",)

    def build(self, settings: Any, env: Any) -> Any:
        return None


plugin = Plugin()
"""


@pytest.fixture
def filters_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose modules are filters, as one on ``sys.path`` would be."""
    directory = tmp_path / "twisted_mesh" / "filters"
    directory.mkdir(parents=True)
    monkeypatch.setattr(twisted_mesh.filters, "__path__", [*twisted_mesh.filters.__path__, str(directory)])
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(directory) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def filter_plugin(filters_directory: Path) -> Callable[..., str]:
    """``filter_plugin(name, fields)`` writes a filter of a user whose settings have these fields."""

    def write(name: str, fields: str = "size: int = 1", module: str = "") -> str:
        lines = "".join(f"    {each}\n" for each in fields.splitlines())
        (filters_directory / f"{module or name}.py").write_text(PLUGIN.format(name=name, fields=lines))
        return name

    return write
