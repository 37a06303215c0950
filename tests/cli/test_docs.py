"""``meshctl docs``."""

from __future__ import annotations

from pathlib import Path

import pytest

from twisted_mesh.cli.main import main
from twisted_mesh.control.reference import markdown


def test_the_reference_goes_to_standard_output_or_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    assert capsys.readouterr().out == markdown()
    path = tmp_path / "configuration.md"
    assert main(["docs", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == markdown()
    assert capsys.readouterr().out == ""
