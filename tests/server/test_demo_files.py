"""What the demonstration writes is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from twisted_mesh.cli.proposal import check, read
from twisted_mesh.control.load import load
from twisted_mesh.server.demo import PORTS
from twisted_mesh.server.demo_files import SHIFTS, guide, write


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, PORTS)
    return tmp_path


def test_the_configurations_load(directory: Path) -> None:
    edge = load(str(directory / "edge.yaml"), {})
    assert set(edge.clusters) == {"v1", "v2", "echo"}
    v2 = load(str(directory / "v2.yaml"), {})
    assert (v2.node.id, v2.node.version) == ("web-v2", "v2")


@pytest.mark.parametrize("name", SHIFTS)
def test_the_changes_fit_the_edge(directory: Path, name: str) -> None:
    assert check(read([str(directory / name)], {}), {}, str(directory / "edge.yaml"), {}) == []


def test_the_guide_names_what_there_is(directory: Path) -> None:
    text = guide(directory, PORTS, "meshctl", 42)
    assert "kill 42" in text
    assert all(str(directory / name) in text for name in SHIFTS)
