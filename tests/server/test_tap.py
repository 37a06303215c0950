"""What twistd is given.  That it runs is in test_process."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from twisted_mesh.server import service, tap


def test_twistd_finds_the_command() -> None:
    [found] = [each for each in getPlugins(IServiceMaker) if each.tapname == "mesh"]
    assert found.module == "twisted_mesh.server.tap"
    assert found.options is tap.Options


def test_the_service_is_made_from_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(service, "make_service", lambda options: made.append(options) or "service")
    assert tap.makeService("options") == "service"  # type: ignore[arg-type]
    assert made == ["options"]
