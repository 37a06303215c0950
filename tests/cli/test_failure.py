"""What ends a command."""

from __future__ import annotations

import argparse
import json

import pytest

from twisted_mesh.cli import main as entry
from twisted_mesh.cli import schema
from twisted_mesh.cli.failure import BUS, Failure


def test_a_failure_is_its_lines_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise Failure("one\ntwo\x1b", BUS, {"why": "so"})

    monkeypatch.setattr(schema, "run", fail)
    assert entry.main(["schema"]) == 3
    assert tuple(capsys.readouterr()) == ("", "meshctl: one\nmeshctl: two\ufffd\n")
    assert entry.main(["-o", "json", "schema"]) == 3
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ({"why": "so"}, "meshctl: one\nmeshctl: two\ufffd\n")
