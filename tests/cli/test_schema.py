"""``meshctl schema``."""

from __future__ import annotations

import json

import pytest

from twisted_mesh.cli.main import main
from twisted_mesh.control.schema import json_schema


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
